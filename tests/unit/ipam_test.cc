// SPDX-License-Identifier: Apache-2.0
// Which pod address comes next, and what becomes of one that is freed.
#include "agent/pods/ipam.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using testing::HasSubstr;

std::vector<Prefix> ranges(std::initializer_list<const char*> texts) {
  std::vector<Prefix> all;
  for (const char* text : texts) all.push_back(*parse_prefix(text));
  return all;
}

std::string next(IpPools& pools, bool ipv4, int64_t now_ms) {
  const auto address = pools.allocate(ipv4, now_ms);
  return address ? to_string(*address) : std::string(name(address.error().code));
}

Address address(const char* text) {
  return *parse_address(text);
}

TEST(IpPools, HandsOutAscendingWithoutNetworkAndBroadcast) {
  IpPools pools;
  pools.set_ranges(ranges({"10.1.0.0/30"}));

  EXPECT_EQ(next(pools, true, 0), "10.1.0.1");
  EXPECT_EQ(next(pools, true, 0), "10.1.0.2");
  EXPECT_EQ(next(pools, true, 0), "exhausted");
}

TEST(IpPools, HandsOutTinyRangesWhole) {
  IpPools pools;
  pools.set_ranges(ranges({"10.1.0.8/31", "10.1.0.20/32"}));

  EXPECT_EQ(next(pools, true, 0), "10.1.0.8");
  EXPECT_EQ(next(pools, true, 0), "10.1.0.9");
  EXPECT_EQ(next(pools, true, 0), "10.1.0.20");
  EXPECT_EQ(next(pools, true, 0), "exhausted");
}

TEST(IpPools, PrefersNeverUsedToFreed) {
  IpPools pools;
  pools.set_ranges(ranges({"10.1.0.0/29"}));
  next(pools, true, 0);
  pools.release(address("10.1.0.1"), 0);

  EXPECT_EQ(next(pools, true, 1'000'000), "10.1.0.2");
}

TEST(IpPools, ReusesLeastRecentlyFreedAndOnlyAfterItsRest) {
  IpPools pools;
  pools.set_ranges(ranges({"10.1.0.0/30"}));
  next(pools, true, 0);
  next(pools, true, 0);
  pools.release(address("10.1.0.2"), 1'000);
  pools.release(address("10.1.0.1"), 2'000);

  EXPECT_EQ(next(pools, true, 30'999), "exhausted");
  EXPECT_EQ(next(pools, true, 31'000), "10.1.0.2");
  EXPECT_EQ(next(pools, true, 31'999), "exhausted");
  EXPECT_EQ(next(pools, true, 32'000), "10.1.0.1");
}

TEST(IpPools, ExhaustionSaysPoolTotalUsedAndResting) {
  IpPools pools;
  pools.set_ranges(ranges({"10.1.0.0/29"}));
  for (int i = 0; i < 6; ++i) next(pools, true, 0);
  pools.release(address("10.1.0.3"), 1'000);

  const auto refused = pools.allocate(true, 2'000);

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kExhausted);
  EXPECT_THAT(refused.error().message(), HasSubstr("10.1.0.0/29: 6 total, 5 used, 1 resting"));
  EXPECT_THAT(refused.error().message(), HasSubstr("in 29 s"));
  EXPECT_EQ(pools.exhausted_total(), 1U);
}

TEST(IpPools, AddressThatCarriedNoPacketNeedNotRest) {
  IpPools pools;
  pools.set_ranges(ranges({"10.1.0.1/32"}));
  next(pools, true, 0);
  pools.give_back(address("10.1.0.1"));

  EXPECT_EQ(next(pools, true, 1), "10.1.0.1");
}

TEST(IpPools, LargeIpv6RangeStartsAfterItsFirstAddress) {
  IpPools pools;
  pools.set_ranges(ranges({"fd00:1::/64"}));

  EXPECT_EQ(next(pools, false, 0), "fd00:1::1");
  EXPECT_EQ(next(pools, false, 0), "fd00:1::2");
  EXPECT_EQ(pools.stats(0)[0].total, ~uint64_t{0});
}

TEST(IpPools, LargeRangeRemembersABoundedNumberOfFreedAddresses) {
  IpPools pools;
  pools.set_ranges(ranges({"fd00:1::/64"}));
  for (int64_t i = 0; i < 5'000; ++i) {
    const int64_t now_ms = i * 1'000;
    const auto taken = pools.allocate(false, now_ms);
    ASSERT_TRUE(taken);
    pools.release(*taken, now_ms);
  }

  EXPECT_LE(pools.freed().size(), kFreedMax + 1);
}

TEST(IpPools, FamilyWithoutRangeIsUnavailable) {
  IpPools pools;
  pools.set_ranges(ranges({"10.1.0.0/24"}));

  EXPECT_EQ(next(pools, false, 0), "unavailable");
  EXPECT_EQ(pools.exhausted_total(), 0U);
}

TEST(IpPools, ChangedRangeKeepsAddressesInUse) {
  IpPools pools;
  pools.set_ranges(ranges({"10.1.0.0/24"}));
  next(pools, true, 0);
  next(pools, true, 0);

  pools.set_ranges(ranges({"10.1.0.0/29", "10.2.0.0/24"}));

  EXPECT_EQ(next(pools, true, 0), "10.1.0.3");
  EXPECT_EQ(pools.claim(address("10.1.0.1")).error().code, ErrorCode::kExists);
  pools.set_ranges(ranges({"10.2.0.0/24"}));
  pools.release(address("10.1.0.1"), 0);
  EXPECT_TRUE(pools.freed().empty()) << "an address outside the ranges is not remembered";
}

TEST(IpPools, RestSurvivesARestart) {
  IpPools before;
  before.set_ranges(ranges({"10.1.0.0/30"}));
  next(before, true, 0);
  before.release(address("10.1.0.1"), 5'000);

  IpPools after;
  after.restore_freed(before.freed(), 6'000);  // ranges come later, from the intent
  ASSERT_TRUE(after.claim(address("10.1.0.2")));
  after.set_ranges(ranges({"10.1.0.0/30"}));

  EXPECT_EQ(next(after, true, 34'999), "exhausted");
  EXPECT_EQ(next(after, true, 35'000), "10.1.0.1");
}

TEST(IpPools, ClockThatWasSetBackDoesNotMakeAnAddressRestForYears) {
  IpPools pools;
  pools.set_ranges(ranges({"10.1.0.1/32"}));
  const std::vector<FreedAddress> freed{
      {.address = address("10.1.0.1"), .freed_unix_ms = 999'999'999}};
  pools.restore_freed(freed, 1'000);

  EXPECT_EQ(next(pools, true, 31'000), "10.1.0.1");
}

TEST(IpPools, WhatIsSomebodyElsesIsNotHandedOut) {
  IpPools pools;
  pools.set_ranges(ranges({"10.1.0.0/29"}));
  pools.set_reserved({address("10.1.0.1"), address("10.1.0.3"), address("10.1.0.0"),
                      address("192.0.2.1"), address("fd00::1")});

  EXPECT_EQ(pools.stats(0)[0].total, 4U);
  for (const char* expected : {"10.1.0.2", "10.1.0.4", "10.1.0.5", "10.1.0.6", "exhausted"})
    EXPECT_EQ(next(pools, true, 0), expected);
  const auto full = pools.allocate(true, 0);
  ASSERT_FALSE(full);
  EXPECT_THAT(full.error().message(),
              HasSubstr("4 total, 4 used, 0 resting (2 more are the host's"));
}

TEST(IpPools, WhatTheHostGaveUpIsHandedOut) {
  IpPools pools;
  pools.set_ranges(ranges({"10.1.0.0/30"}));
  pools.set_reserved({address("10.1.0.1")});
  EXPECT_EQ(next(pools, true, 0), "10.1.0.2");
  EXPECT_EQ(next(pools, true, 0), "exhausted");

  pools.set_reserved({});

  EXPECT_EQ(next(pools, true, 0), "10.1.0.1");
  EXPECT_EQ(pools.stats(0)[0].total, 2U);
}

TEST(IpPools, AFreedAddressThatTheHostTookIsNotHandedOut) {
  IpPools pools;
  pools.set_ranges(ranges({"10.1.0.0/30"}));
  next(pools, true, 0);
  next(pools, true, 0);
  pools.set_reserved({address("10.1.0.1"), address("10.1.0.2")});
  EXPECT_EQ(pools.stats(0)[0].total, 2U) << "pods have them";
  pools.release(address("10.1.0.1"), 0);
  pools.release(address("10.1.0.2"), 0);

  EXPECT_EQ(next(pools, true, 1'000'000), "exhausted");
  EXPECT_EQ(pools.stats(0)[0].resting, 0U);
}

}  // namespace
}  // namespace sluice
