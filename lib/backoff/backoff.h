// SPDX-License-Identifier: Apache-2.0
// Waits between tries that fail: they double up to a limit, with jitter, so that many clients of
// one server do not come back in the same instant.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

namespace sluice {

using Random = std::function<double()>;  // uniform in [0, 1); passed in, so that a test decides

struct BackoffLimits {
  std::chrono::milliseconds first{200};
  std::chrono::milliseconds longest{30'000};
};

class Backoff {
 public:
  Backoff(BackoffLimits limits, Random random);

  // The wait before the next try: between a half and the whole of a span that starts at `first` and
  // doubles with every call, up to `longest`.
  std::chrono::milliseconds next();
  void reset() { failures_ = 0; }

 private:
  BackoffLimits limits_;
  Random random_;
  uint32_t failures_ = 0;
};

}  // namespace sluice
