// SPDX-License-Identifier: Apache-2.0
// Names of hooks and drop reasons: one table for everybody.
#include <gtest/gtest.h>

#include <set>

#include "lib/verdict/names.h"

namespace sluice {
namespace {

TEST(DropReasons, EachHasANameATextAndAHubbleCode) {
  std::set<std::string> names;
  for (uint8_t reason = 1; reason < DROP_REASON_MAX; ++reason) {
    EXPECT_NE(find_drop_reason(reason), nullptr) << int{reason};
    EXPECT_FALSE(drop_reason_text(reason).empty()) << int{reason};
    EXPECT_GE(hubble_drop_reason(reason), 130U) << int{reason};
    names.insert(drop_reason_name(reason));
  }
  EXPECT_EQ(names.size(), DROP_REASON_MAX - 1U);
  EXPECT_EQ(drop_reason_name(DROP_CT_FULL), "CT_FULL");
}

TEST(DropReasons, ANumberOfAnotherVersionIsShownAsANumber) {
  EXPECT_EQ(drop_reason_name(99), "reason 99");
  EXPECT_EQ(drop_reason_text(99), "not known to this version");
  EXPECT_EQ(hubble_drop_reason(99), 0U);
  EXPECT_EQ(hook_name(99), "hook 99");
  EXPECT_EQ(hook_name(HOOK_UPLINK_EGRESS), "uplink_egress");
}

TEST(Hooks, TheTableHasEveryHookAndVerdict) {
  EXPECT_EQ(kHookNames.size(), size_t{HOOK_MAX});
  EXPECT_EQ(kVerdictNames.size(), size_t{VERDICT_MAX});
}

}  // namespace
}  // namespace sluice
