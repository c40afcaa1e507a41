// SPDX-License-Identifier: Apache-2.0
// Waits between tries that fail.
#include "lib/backoff/backoff.h"

#include <algorithm>
#include <utility>

namespace sluice {

Backoff::Backoff(BackoffLimits limits, Random random)
    : limits_(limits), random_(std::move(random)) {}

std::chrono::milliseconds Backoff::next() {
  const uint32_t doublings = std::min(failures_, 20U);
  failures_++;
  const auto span = std::min(limits_.longest, limits_.first * (int64_t{1} << doublings));
  const auto half = static_cast<double>(span.count()) / 2;
  return std::chrono::milliseconds(static_cast<int64_t>(half + half * random_()));
}

}  // namespace sluice
