// SPDX-License-Identifier: Apache-2.0
// Desired state to rows: MTU, and what must never change a result.
#include "agent/compile/compile.h"

#include <cstring>
#include <random>

#include "tests/unit/compile_samples.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct MtuCase {
  const char* name;
  uint32_t uplink;
  uint32_t setting;
  Routing routing;
  bool ipv6_underlay;
  uint32_t pod;
  uint32_t route;
};

class Mtu : public testing::TestWithParam<MtuCase> {};

TEST_P(Mtu, FollowsUplinkAndEncapsulation) {
  const MtuCase& given = GetParam();
  Desired desired = three_nodes();
  desired.settings.mtu = given.setting;
  desired.settings.routing = given.routing;
  desired.uplinks[0].mtu = given.uplink;
  desired.uplinks.push_back({.name = "eth1", .ifindex = 3, .mtu = 9000});
  if (given.ipv6_underlay) {
    for (auto& node : desired.intent.nodes) node.addresses.erase(node.addresses.begin());
    desired.uplinks[0].addresses = {ip("2001:db8::1")};
  }

  const Rows rows = compile(desired);

  EXPECT_EQ(rows.pod_mtu, given.pod);
  EXPECT_EQ(rows.pod_route_mtu, given.route);
}

INSTANTIATE_TEST_SUITE_P(
    Compile, Mtu,
    testing::Values(MtuCase{"Native", 1500, 0, Routing::kNative, false, 1500, 1500},
                    MtuCase{"VxlanOverIpv4", 1500, 0, Routing::kVxlan, false, 1500, 1450},
                    MtuCase{"VxlanOverIpv6", 1500, 0, Routing::kVxlan, true, 1500, 1430},
                    MtuCase{"AutoWithAFarNode", 1500, 0, Routing::kAuto, false, 1500, 1450},
                    MtuCase{"SmallestUplink", 1400, 0, Routing::kVxlan, false, 1400, 1350},
                    MtuCase{"Jumbo", 9001, 0, Routing::kNative, false, 9000, 9000},
                    MtuCase{"Setting", 1500, 1300, Routing::kVxlan, false, 1300, 1250}),
    [](const auto& each) { return each.param.name; });

TEST(CompileMtu, PodThatAsksForLessGetsIt) {
  Desired desired = three_nodes();
  ASSERT_FALSE(desired.endpoints.empty());
  desired.endpoints[0].mtu = 1400;

  EXPECT_EQ(compile(desired).own_mtus,
            (std::map<uint32_t, uint32_t>{{desired.endpoints[0].ifindex, 1400}}));
  desired.endpoints[0].mtu = 9000;
  EXPECT_TRUE(compile(desired).own_mtus.empty());
}

TEST(CompileMtu, BelowWhatIpv6NeedsPodsKeepTheirDeviceAndTheOverlayHasNoIpv6) {
  Desired desired = three_nodes();
  desired.uplinks[0].mtu = 1300;

  Rows rows = compile(desired);

  EXPECT_FALSE(rows.ipv6_fits);
  EXPECT_EQ(rows.pod_route_mtu, 1250U);
  EXPECT_TRUE(rows.own_mtus.empty()) << "the device's 1300 hold IPv6";
  for (const std::string& each : routes(rows)) EXPECT_FALSE(each.starts_with("fd00:3::")) << each;

  desired.settings.routing = Routing::kNative;
  desired.uplinks[0].mtu = 1200;
  rows = compile(desired);
  EXPECT_FALSE(rows.ipv6_fits);
  EXPECT_EQ(rows.own_mtus, (std::map<uint32_t, uint32_t>{{desired.endpoints[0].ifindex, 1280}}));
  desired.endpoints[0].ipv6.reset();
  EXPECT_TRUE(compile(desired).own_mtus.empty());
  desired.settings.ipv6 = false;
  EXPECT_TRUE(compile(desired).ipv6_fits);
}

TEST(CompileMtu, WithoutUplinksAndFarNodesIsThatOfEthernet) {
  Desired desired = three_nodes();
  desired.uplinks.clear();
  desired.intent.nodes.resize(1);
  desired.intent.pods.clear();

  const Rows rows = compile(desired);

  EXPECT_EQ(rows.pod_mtu, 1500U);
  EXPECT_EQ(rows.pod_route_mtu, 1500U);
  EXPECT_FALSE(rows.needs_overlay);
}

Desired many(std::mt19937& random) {
  Desired desired = three_nodes();
  for (int i = 4; i < 30; ++i) {
    const std::string n = std::to_string(i);
    const bool near = random() % 2 == 0;
    desired.intent.nodes.push_back({.name = "x" + n,
                                    .addresses = {ip((near ? "192.0.2." : "198.51.100.") + n)},
                                    .pod_cidrs = {cidr("10." + n + ".0.0/24")}});
    desired.intent.pods.push_back(pod("c", "p" + std::to_string(100 + i),
                                      random() % 3 == 0 ? "" : "x" + n, {"10." + n + ".0.9"}));
    desired.endpoints.push_back(
        local("e" + n, static_cast<uint32_t>(100 + i), "10.1.0.1" + n, "fd00:1::1" + n));
  }
  desired.identity_numbers["namespace=c"] = 258;
  return desired;
}

TEST(CompileProperties, SameInputGivesTheSameRowsInAnyOrder) {
  std::mt19937 random(11);
  Desired desired = many(random);
  const std::string expected = bytes(compile(desired));
  EXPECT_EQ(bytes(compile(desired)), expected);

  for (int round = 0; round < 30; ++round) {
    std::shuffle(desired.intent.nodes.begin(), desired.intent.nodes.end(), random);
    std::shuffle(desired.endpoints.begin(), desired.endpoints.end(), random);
    std::shuffle(desired.host_addresses.begin(), desired.host_addresses.end(), random);
    ASSERT_EQ(bytes(compile(desired)), expected);
  }
}

TEST(CompileProperties, UnrelatedPodChangesOnlyItsOwnRows) {
  std::mt19937 random(13);
  Desired desired = many(random);
  const Rows before = compile(desired);

  desired.intent.pods.push_back(pod("z", "new", "n2", {"10.2.0.200"}));
  desired.identity_numbers["namespace=z"] = 300;
  desired.endpoints.push_back(local("stray", 999, "10.1.0.250", "fd00:1::fa"));
  Rows after = compile(desired);

  for (const char* own : {"10.2.0.200/32", "10.1.0.250/32", "fd00:1::fa/128"})
    EXPECT_EQ(after.identities.erase(cidr(own)), 1U);
  EXPECT_EQ(after.endpoints.erase(999), 1U);
  EXPECT_EQ(after.attachments.erase(999), 1U);
  EXPECT_EQ(std::erase_if(after.routes, [](const RouteRow& route) { return route.ifindex == 999; }),
            2U);
  EXPECT_EQ(std::erase_if(after.neighbours,
                          [](const NeighbourRow& entry) { return entry.ifindex == 999; }),
            2U);
  EXPECT_EQ(bytes(after), bytes(before));
}

}  // namespace
}  // namespace sluice
