// SPDX-License-Identifier: Apache-2.0
// The corners of the settings that programs are verified under: every combination of on and off.
#pragma once

#include <string>
#include <vector>

#include "bpf/abi/config.h"

namespace sluice::test {

struct Corner {
  std::string name;  // "ipv4_overlay": what is on; "all", "none"
  datapath_config config{};
};

// All 32, the default (everything on) first.
std::vector<Corner> all_corners();
// The default, each flag off alone, and everything off: for kernels where a load takes long.
std::vector<Corner> few_corners();

}  // namespace sluice::test
