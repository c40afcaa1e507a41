// SPDX-License-Identifier: Apache-2.0
// Corners are counted through as bits, so that a new flag only needs its row here.
#include "tests/verifier/corner.h"

#include <bit>
#include <iterator>

namespace sluice::test {
namespace {

struct Flag {
  const char* name;
  __u8 datapath_config::* field;
};

constexpr Flag kFlags[] = {
    {.name = "ipv4", .field = &datapath_config::ipv4},
    {.name = "ipv6", .field = &datapath_config::ipv6},
    {.name = "overlay", .field = &datapath_config::overlay},
    {.name = "translate", .field = &datapath_config::translate},
    {.name = "events", .field = &datapath_config::events},
};
constexpr size_t kFlagCount = std::size(kFlags);
// A flag added to the ABI without a row above shows here: flags are bytes, the rest is padding.
static_assert(kFlagCount == sizeof(datapath_config) - sizeof(datapath_config::pad));

Corner corner_of(uint32_t on) {
  Corner corner;
  for (size_t i = 0; i < kFlagCount; i++) {
    if ((on >> i & 1) != 0) {
      corner.config.*kFlags[i].field = 1;
      corner.name += (corner.name.empty() ? "" : "_") + std::string(kFlags[i].name);
    }
  }
  if (on == (1U << kFlagCount) - 1) {
    corner.name = "all";
  }
  if (on == 0) {
    corner.name = "none";
  }
  return corner;
}

}  // namespace

std::vector<Corner> all_corners() {
  std::vector<Corner> corners;
  for (uint32_t off = 0; off < 1U << kFlagCount; off++) {
    corners.push_back(corner_of(~off & ((1U << kFlagCount) - 1)));
  }
  return corners;
}

std::vector<Corner> few_corners() {
  std::vector<Corner> corners;
  const uint32_t every = (1U << kFlagCount) - 1;
  for (uint32_t off = 0; off <= every; off++) {
    if (std::popcount(off) <= 1 || off == every) {
      corners.push_back(corner_of(~off & every));
    }
  }
  return corners;
}

}  // namespace sluice::test
