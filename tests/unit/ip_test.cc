// SPDX-License-Identifier: Apache-2.0
// lib/ip: text to addresses and back, and the arithmetic of prefixes.
#include "lib/ip/ip.h"

#include <gtest/gtest.h>

#include <unordered_set>

namespace sluice {
namespace {

TEST(Address, ParsesAndPrintsBothFamilies) {
  for (const char* text : {"10.0.0.1", "0.0.0.0", "255.255.255.255", "::", "::1", "fd00::1",
                           "2001:db8::1:0:0:1", "fe80::1"}) {
    const auto address = parse_address(text);

    ASSERT_TRUE(address) << text;
    EXPECT_EQ(to_string(*address), text);
  }
}

TEST(Address, RefusesWhatIsNoAddressAndNamesIt) {
  for (const char* text : {"", "10.0.0", "10.0.0.256", "10.0.0.1 ", " ::1", "fd00::1::2",
                           "fe80::1%eth0", "10.0.0.1/24", "pod", "010.0.0.1"}) {
    const auto address = parse_address(text);

    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code, ErrorCode::kInvalid);
    EXPECT_NE(address.error().context.find(text), std::string::npos) << address.error().context;
  }
  EXPECT_FALSE(parse_address(std::string_view("10.0.0.1\0", 9)));
}

TEST(Address, KnowsItsFamilyAndWhetherItIsThere) {
  EXPECT_TRUE(parse_address("10.0.0.1")->is_ipv4());
  EXPECT_FALSE(parse_address("fd00::1")->is_ipv4());
  EXPECT_TRUE(parse_address("0.0.0.0")->is_unspecified());
  EXPECT_TRUE(parse_address("0.0.0.0")->is_set());
  EXPECT_TRUE(parse_address("::")->is_unspecified());
  EXPECT_FALSE(Address{}.is_set());
  EXPECT_FALSE(parse_address("10.0.0.0")->is_unspecified());
}

TEST(Prefix, ParsesAndPrintsBothFamilies) {
  const struct {
    const char* text;
    uint8_t length;
  } rows[] = {{"10.0.0.0/8", 104}, {"0.0.0.0/0", 96},    {"10.1.2.3/32", 128}, {"fd00::/64", 64},
              {"::/0", 0},         {"fd00::1/128", 128}, {"10.128.0.0/9", 105}};
  for (const auto& row : rows) {
    const auto prefix = parse_prefix(row.text);

    ASSERT_TRUE(prefix) << row.text;
    EXPECT_EQ(prefix->length, row.length) << row.text;
    EXPECT_EQ(to_string(*prefix), row.text);
  }
  EXPECT_EQ(to_string(*parse_prefix("10.0.0.1")), "10.0.0.1/32");
}

TEST(Prefix, RefusesHostBitsAndBadLengths) {
  for (const char* text :
       {"10.0.0.1/24", "10.0.0.0/33", "fd00::/129", "fd00::1/64", "10.0.0.0/", "/24", "10.0.0.0/-1",
        "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8/8", "10.64.0.0/9x", "10.64.0.0/9"}) {
    const auto prefix = parse_prefix(text);

    ASSERT_FALSE(prefix) << text;
    EXPECT_NE(prefix.error().context.find(text), std::string::npos) << prefix.error().context;
  }
}

TEST(Prefix, ContainsExactlyItsRange) {
  const Prefix prefix = *parse_prefix("10.0.0.128/25");

  EXPECT_TRUE(contains(prefix, *parse_address("10.0.0.128")));
  EXPECT_TRUE(contains(prefix, *parse_address("10.0.0.255")));
  EXPECT_FALSE(contains(prefix, *parse_address("10.0.0.127")));
  EXPECT_FALSE(contains(prefix, *parse_address("10.0.1.128")));
  EXPECT_FALSE(contains(prefix, *parse_address("::10.0.0.128")));
}

TEST(Prefix, AroundAnAddressHasNoHostBits) {
  EXPECT_EQ(prefix_around(*parse_address("10.1.2.3"), 96 + 20), *parse_prefix("10.1.0.0/20"));
  EXPECT_EQ(prefix_around(*parse_address("fd00::ffff"), 121), *parse_prefix("fd00::ff80/121"));
  EXPECT_EQ(prefix_around(*parse_address("fd00::1"), 0), *parse_prefix("::/0"));
}

TEST(Prefix, OverlapsWhereOneHoldsTheOther) {
  EXPECT_TRUE(overlaps(*parse_prefix("10.0.0.0/8"), *parse_prefix("10.1.0.0/16")));
  EXPECT_TRUE(overlaps(*parse_prefix("10.1.0.0/16"), *parse_prefix("10.0.0.0/8")));
  EXPECT_FALSE(overlaps(*parse_prefix("10.0.0.0/16"), *parse_prefix("10.1.0.0/16")));
  EXPECT_FALSE(overlaps(*parse_prefix("fd00::/64"), *parse_prefix("fd00:0:0:1::/64")));
}

TEST(Address, AdvancesAcrossBytesAndStopsAtTheEnd) {
  EXPECT_EQ(to_string(*advance(*parse_address("10.0.0.255"), 1)), "10.0.1.0");
  EXPECT_EQ(to_string(*advance(*parse_address("10.0.0.0"), 65535)), "10.0.255.255");
  EXPECT_EQ(to_string(*advance(*parse_address("fd00::ffff:ffff:ffff:ffff"), 1)), "fd00:0:0:1::");
  EXPECT_FALSE(advance(*parse_address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 1));
}

TEST(Address, KeepsItsBytesAcrossTheKernelBorder) {
  const Address address = *parse_address("192.0.2.7");

  const ip_addr row = to_abi(address);

  EXPECT_EQ(row.bytes[10], 0xff);
  EXPECT_EQ(row.bytes[15], 7);
  EXPECT_EQ(from_abi(row), address);
}

TEST(Address, HashTellsNeighboursApart) {
  std::unordered_set<size_t> hashes;
  const Address base = *parse_address("10.0.0.0");
  for (uint64_t i = 0; i < 4096; i++) hashes.insert(std::hash<Address>()(*advance(base, i)));

  EXPECT_EQ(hashes.size(), 4096U);
}

TEST(Mac, PrintsLowerCaseHex) {
  EXPECT_EQ(to_string(Mac{{0x02, 0x53, 0x4c, 0x00, 0xab, 0x01}}), "02:53:4c:00:ab:01");
}

}  // namespace
}  // namespace sluice
