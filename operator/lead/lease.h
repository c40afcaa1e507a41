// SPDX-License-Identifier: Apache-2.0
// A Lease of coordination.k8s.io/v1 as the claim of one holder; how it is read, and what it
// becomes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/result/result.h"

namespace sluice {

// spec of the Lease. Times are text: the clock of whoever wrote them is not ours.
struct LeaseClaim {
  std::string holder{};  // empty: nobody
  int64_t duration_s = 0;
  std::string acquired{};
  std::string renewed{};
  int64_t transitions = 0;

  bool operator==(const LeaseClaim&) const = default;
};

struct Lease {
  LeaseClaim claim{};
  std::string object{};  // JSON as the API server gave it: what we do not know of it is kept
};

// kInvalid names the field.
Result<Lease> parse_lease(std::string_view json);
// The object with another claim; its resourceVersion goes along, so that the server refuses the
// change where somebody else made one since.
std::string lease_body(const Lease& lease, const LeaseClaim& claim);
std::string new_lease_body(const std::string& namespace_name, const std::string& name,
                           const LeaseClaim& claim);

// "2026-01-02T03:04:05.678901Z"; microseconds since 1970 in UTC.
std::string micro_time(int64_t unix_us);

}  // namespace sluice
