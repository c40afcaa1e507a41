// SPDX-License-Identifier: Apache-2.0
// Waits between tries.
#include "lib/backoff/backoff.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using std::chrono::milliseconds;

constexpr BackoffLimits kLimits{.first = milliseconds(100), .longest = milliseconds(1000)};

TEST(Backoff, DoublesUpToTheLimit) {
  Backoff backoff(kLimits, [] { return 0.999999; });

  for (const int expected : {99, 199, 399, 799, 999, 999})
    EXPECT_EQ(backoff.next(), milliseconds(expected));
}

TEST(Backoff, JitterTakesAwayHalfAtMost) {
  Backoff backoff(kLimits, [] { return 0.0; });

  EXPECT_EQ(backoff.next(), milliseconds(50));
  EXPECT_EQ(backoff.next(), milliseconds(100));
}

TEST(Backoff, SuccessStartsAnew) {
  Backoff backoff(kLimits, [] { return 0.0; });
  for (int i = 0; i < 100; ++i) (void)backoff.next();

  backoff.reset();

  EXPECT_EQ(backoff.next(), milliseconds(50));
}

}  // namespace
}  // namespace sluice
