// SPDX-License-Identifier: Apache-2.0
// Desired state to rows: who owns an address, how a node is reached, MTU, and what must never
// change a result.
#include "agent/compile/compile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Address ip(const std::string& text) {
  return *parse_address(text);
}
Prefix cidr(const std::string& text) {
  return *parse_prefix(text);
}

PodIntent pod(const std::string& namespace_name, const std::string& name, const std::string& node,
              const std::vector<std::string>& addresses = {}) {
  PodIntent result{.namespace_name = namespace_name,
                   .name = name,
                   .node = node,
                   .identity = "namespace=" + namespace_name};
  for (const auto& address : addresses) result.addresses.push_back(ip(address));
  return result;
}

LocalEndpoint local(const std::string& container_id, uint32_t ifindex, const std::string& ipv4,
                    const std::string& ipv6) {
  LocalEndpoint endpoint{
      .network = "sluice", .container_id = container_id, .ifname = "eth0", .ifindex = ifindex};
  endpoint.ipv4 = ip(ipv4);
  endpoint.ipv6 = ip(ipv6);
  endpoint.pod_mac.bytes = {2, 0, 0, 0, 0, static_cast<uint8_t>(ifindex)};
  endpoint.host_mac.bytes = {2, 0, 0, 0, 1, static_cast<uint8_t>(ifindex)};
  return endpoint;
}

// n1 is this node; n2 is on its subnet, n3 is not. All dual stack.
Desired three_nodes() {
  Desired desired;
  desired.settings.node_name = "n1";
  desired.intent.nodes = {
      {.name = "n1",
       .addresses = {ip("192.0.2.1"), ip("2001:db8::1")},
       .pod_cidrs = {cidr("10.1.0.0/24"), cidr("fd00:1::/64")}},
      {.name = "n2",
       .addresses = {ip("192.0.2.2"), ip("2001:db8::2")},
       .pod_cidrs = {cidr("10.2.0.0/24"), cidr("fd00:2::/64")}},
      {.name = "n3",
       .addresses = {ip("198.51.100.3"), ip("2001:db8:3::3")},
       .pod_cidrs = {cidr("10.3.0.0/24"), cidr("fd00:3::/64")}},
  };
  desired.intent.pods = {pod("a", "far", "n3", {"10.3.0.5", "fd00:3::5"}),
                         pod("a", "near", "n2", {"10.2.0.5"}),
                         pod("b", "here", "n1", {"10.1.0.5"})};
  desired.identity_numbers = {{"namespace=a", 256}, {"namespace=b", 257}};
  desired.endpoints = {local("b-here", 11, "10.1.0.5", "fd00:1::5")};
  desired.uplinks = {{.name = "eth0",
                      .ifindex = 2,
                      .mtu = 1500,
                      .subnets = {cidr("192.0.2.0/24"), cidr("2001:db8::/64")},
                      .addresses = {ip("192.0.2.1"), ip("2001:db8::1")}}};
  desired.host_addresses = {ip("192.0.2.1"), ip("2001:db8::1")};
  desired.overlay_ifindex = 9;
  return desired;
}

// "256 remote-pod|tunnel if=0 node=198.51.100.3", so that a failure says what the row is.
std::string text(const identity_row& row) {
  std::string flags;
  const auto add = [&](uint32_t flag, const char* flag_name) {
    if ((row.flags & flag) != 0) flags += (flags.empty() ? "" : "|") + std::string(flag_name);
  };
  add(ADDRESS_LOCAL_POD, "local-pod");
  add(ADDRESS_REMOTE_POD, "remote-pod");
  add(ADDRESS_THIS_NODE, "this-node");
  add(ADDRESS_REMOTE_NODE, "remote-node");
  add(ADDRESS_TUNNEL, "tunnel");
  add(ADDRESS_TRANSLATE, "translate");
  const Address node = from_abi(row.node);
  return std::to_string(row.identity) + " " + flags + " if=" + std::to_string(row.ifindex) +
         (node.is_set() ? " node=" + to_string(node) : "");
}

std::string row(const Rows& rows, const std::string& prefix) {
  const auto at = rows.identities.find(cidr(prefix));
  return at == rows.identities.end() ? "none" : text(at->second);
}

std::string text(const RouteRow& route) {
  return to_string(route.destination) + " dev " + std::to_string(route.ifindex) +
         (route.via.is_set() ? " via " + to_string(route.via) : "") +
         (route.source.is_set() ? " src " + to_string(route.source) : "") +
         (route.mtu != 0 ? " mtu " + std::to_string(route.mtu) : "");
}

std::vector<std::string> routes(const Rows& rows) {
  std::vector<std::string> result;
  for (const RouteRow& route : rows.routes) result.push_back(text(route));
  std::sort(result.begin(), result.end());
  return result;
}

// Every byte of every row.
std::string bytes(const Rows& rows) {
  std::string all;
  const auto add = [&](const auto& value) {
    all.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  add(rows.config);
  add(rows.node);
  for (const auto& [key, value] : rows.identities) add(key), add(value);
  for (const auto& [key, value] : rows.endpoints) add(key), add(value);
  for (const auto& [key, value] : rows.devices) add(key), add(value);
  for (const auto& [key, value] : rows.attachments) add(key), add(value);
  for (const auto& route : rows.routes) all += text(route) + "\n";
  for (const auto& entry : rows.neighbours)
    all += to_string(entry.address) + to_string(entry.mac), add(entry.ifindex);
  for (const auto& [key, value] : rows.own_mtus) add(key), add(value);
  add(rows.needs_overlay), add(rows.pod_mtu), add(rows.pod_route_mtu), add(rows.ipv6_fits);
  return all;
}

TEST(CompileIdentities, AutoRoutingUsesTheOverlayOnlyOffTheSubnet) {
  const Rows rows = compile(three_nodes());

  EXPECT_EQ(row(rows, "0.0.0.0/0"), "2 translate if=0");
  EXPECT_EQ(row(rows, "::/0"), "2 translate if=0");
  EXPECT_EQ(row(rows, "fe80::/10"), "1 this-node if=0");
  EXPECT_EQ(row(rows, "ff00::/8"), "1 this-node if=0");
  EXPECT_EQ(row(rows, "224.0.0.0/4"), "1 this-node if=0");
  EXPECT_EQ(row(rows, "192.0.2.1/32"), "1 this-node if=0");
  EXPECT_EQ(row(rows, "2001:db8::1/128"), "1 this-node if=0");
  EXPECT_EQ(row(rows, "192.0.2.2/32"), "6 remote-node if=0 node=192.0.2.2");
  EXPECT_EQ(row(rows, "198.51.100.3/32"), "6 remote-node|translate if=0 node=198.51.100.3");
  EXPECT_EQ(row(rows, "10.1.0.0/24"), "3 local-pod if=0");
  EXPECT_EQ(row(rows, "10.2.0.0/24"), "3 remote-pod if=0 node=192.0.2.2");
  EXPECT_EQ(row(rows, "fd00:2::/64"), "3 remote-pod if=0 node=2001:db8::2");
  EXPECT_EQ(row(rows, "10.3.0.0/24"), "3 remote-pod|tunnel if=0 node=198.51.100.3");
  EXPECT_EQ(row(rows, "fd00:3::/64"), "3 remote-pod|tunnel if=0 node=198.51.100.3");
  EXPECT_EQ(row(rows, "10.2.0.5/32"), "256 remote-pod if=0 node=192.0.2.2");
  EXPECT_EQ(row(rows, "10.3.0.5/32"), "256 remote-pod|tunnel if=0 node=198.51.100.3");
  EXPECT_EQ(row(rows, "fd00:3::5/128"), "256 remote-pod|tunnel if=0 node=198.51.100.3");
  EXPECT_EQ(row(rows, "10.1.0.5/32"), "257 local-pod if=11");
  EXPECT_EQ(row(rows, "fd00:1::5/128"), "257 local-pod if=11");
  for (const char* nobodys : {"0.0.0.0/8", "127.0.0.0/8", "169.254.1.1/32", "::/128", "::1/128"})
    EXPECT_EQ(rows.identities.at(cidr(nobodys)).identity, static_cast<uint32_t>(IDENTITY_UNKNOWN));
  EXPECT_EQ(rows.identities.size(), 27U);
}

TEST(CompileIdentities, NativeRoutingNeverTunnels) {
  Desired desired = three_nodes();
  desired.settings.routing = Routing::kNative;

  const Rows rows = compile(desired);

  EXPECT_EQ(row(rows, "10.3.0.0/24"), "3 remote-pod if=0 node=198.51.100.3");
  EXPECT_EQ(row(rows, "198.51.100.3/32"), "6 remote-node if=0 node=198.51.100.3");
  EXPECT_FALSE(rows.needs_overlay);
  EXPECT_EQ(rows.config.overlay, 0);
  EXPECT_EQ(rows.node.overlay_ifindex, 0U);
  EXPECT_FALSE(rows.devices.contains(9));
  EXPECT_EQ(rows.pod_route_mtu, 1500U);
}

TEST(CompileIdentities, VxlanRoutingTunnelsToEveryNode) {
  Desired desired = three_nodes();
  desired.settings.routing = Routing::kVxlan;

  const Rows rows = compile(desired);

  EXPECT_EQ(row(rows, "10.2.0.5/32"), "256 remote-pod|tunnel if=0 node=192.0.2.2");
  EXPECT_EQ(row(rows, "192.0.2.2/32"), "6 remote-node|translate if=0 node=192.0.2.2");
  EXPECT_TRUE(rows.needs_overlay);
}

TEST(CompileIdentities, PodsOfAFamilyThatTheUnderlayLacksGoThroughTheOverlay) {
  Desired desired = three_nodes();
  for (auto& node : desired.intent.nodes) node.addresses.resize(1);
  desired.uplinks[0].subnets.resize(1);
  desired.uplinks[0].addresses.resize(1);

  const Rows rows = compile(desired);

  EXPECT_EQ(row(rows, "10.2.0.0/24"), "3 remote-pod if=0 node=192.0.2.2");
  EXPECT_EQ(row(rows, "fd00:2::/64"), "3 remote-pod|tunnel if=0 node=192.0.2.2");
}

TEST(CompileIdentities, NodeWithoutACommonFamilyHasNoTunnel) {
  Desired desired = three_nodes();
  desired.settings.routing = Routing::kVxlan;
  desired.uplinks[0].addresses = {ip("192.0.2.1")};
  desired.host_addresses = {ip("192.0.2.1")};
  desired.intent.nodes[2].addresses = {ip("2001:db8:3::3")};

  EXPECT_EQ(row(compile(desired), "10.3.0.0/24"), "3 remote-pod if=0");
}

TEST(CompileIdentities, TranslationCanBeOffAsAWholeOrByPrefix) {
  Desired desired = three_nodes();
  desired.settings.no_translate = {cidr("203.0.113.0/24"), cidr("10.0.0.0/8")};
  Rows rows = compile(desired);
  EXPECT_EQ(row(rows, "203.0.113.0/24"), "2  if=0");
  EXPECT_EQ(row(rows, "10.0.0.0/8"), "2  if=0");
  EXPECT_EQ(row(rows, "0.0.0.0/0"), "2 translate if=0");

  desired.settings.translate = false;
  rows = compile(desired);
  EXPECT_EQ(row(rows, "0.0.0.0/0"), "2  if=0");
  EXPECT_EQ(row(rows, "198.51.100.3/32"), "6 remote-node if=0 node=198.51.100.3");
  EXPECT_EQ(rows.config.translate, 0);
}

TEST(CompileIdentities, PodsOfTheHostsNetworkAndLateAddressesOfOursMakeNoRow) {
  Desired desired = three_nodes();
  desired.intent.pods[0].host_network = true;
  desired.intent.pods[1].addresses = {ip("10.1.0.77")};  // of our own range, claimed for n2

  const Rows rows = compile(desired);

  EXPECT_EQ(row(rows, "10.3.0.5/32"), "none");
  EXPECT_EQ(row(rows, "10.1.0.77/32"), "none");
}

TEST(CompileIdentities, PodWithoutNodeIsFoundByItsRange) {
  Desired desired = three_nodes();
  desired.intent.pods[0].node = "";
  desired.intent.pods[1].node = "gone";
  desired.intent.pods[1].addresses = {ip("172.16.0.1")};

  const Rows rows = compile(desired);

  EXPECT_EQ(row(rows, "10.3.0.5/32"), "256 remote-pod|tunnel if=0 node=198.51.100.3");
  EXPECT_EQ(row(rows, "172.16.0.1/32"), "256 remote-pod if=0");
}

TEST(CompileIdentities, NearerOwnerWins) {
  Desired desired = three_nodes();
  desired.intent.nodes[1].addresses = {ip("192.0.2.1")};  // claims our own address
  desired.intent.pods[1].addresses = {ip("192.0.2.1"),
                                      ip("10.1.0.5")};  // and a pod claims two of ours
  desired.intent.nodes[0].pod_cidrs.clear();

  const Rows rows = compile(desired);

  EXPECT_EQ(row(rows, "192.0.2.1/32"), "1 this-node if=0");
  EXPECT_EQ(row(rows, "10.1.0.5/32"), "257 local-pod if=11");
}

TEST(CompileRoutes, HostRoutesOfPodsDirectAndOverlayRoutesOfNodes) {
  EXPECT_THAT(routes(compile(three_nodes())),
              ElementsAre("10.1.0.5/32 dev 11", "10.2.0.0/24 dev 2 via 192.0.2.2 src 192.0.2.1",
                          "10.3.0.0/24 dev 9 src 192.0.2.1 mtu 1450", "fd00:1::5/128 dev 11",
                          "fd00:2::/64 dev 2 via 2001:db8::2 src 2001:db8::1",
                          "fd00:3::/64 dev 9 src 2001:db8::1 mtu 1450"));
}

TEST(CompileRoutes, NativeNodeOffTheSubnetAndOverlayWithoutDeviceHaveNone) {
  Desired desired = three_nodes();
  desired.endpoints.clear();
  desired.overlay_ifindex = 0;
  EXPECT_EQ(routes(compile(desired)).size(), 2U);

  desired.overlay_ifindex = 9;
  desired.settings.routing = Routing::kNative;
  EXPECT_THAT(routes(compile(desired)),
              ElementsAre("10.2.0.0/24 dev 2 via 192.0.2.2 src 192.0.2.1",
                          "fd00:2::/64 dev 2 via 2001:db8::2 src 2001:db8::1"));
}

TEST(CompileRoutes, FamilyThatIsOffHasNoRowsAndNoRoutes) {
  Desired desired = three_nodes();
  desired.settings.ipv6 = false;

  const Rows rows = compile(desired);

  EXPECT_EQ(row(rows, "fd00:2::/64"), "none");
  EXPECT_EQ(row(rows, "fd00:3::5/128"), "none");
  EXPECT_EQ(rows.config.ipv6, 0);
  for (const RouteRow& route : rows.routes)
    EXPECT_TRUE(route.destination.is_ipv4() || route.ifindex == 11);
}

TEST(CompileDevices, EndpointsUplinksAndOverlay) {
  const Rows rows = compile(three_nodes());

  EXPECT_EQ(rows.attachments,
            (std::map<uint32_t, DeviceRole>{
                {2, DeviceRole::kUplink}, {9, DeviceRole::kOverlay}, {11, DeviceRole::kPod}}));
  ASSERT_TRUE(rows.endpoints.contains(11));
  const endpoint_row& endpoint = rows.endpoints.at(11);
  EXPECT_EQ(from_abi(endpoint.ipv4), ip("10.1.0.5"));
  EXPECT_EQ(from_abi(endpoint.ipv6), ip("fd00:1::5"));
  EXPECT_EQ(endpoint.identity, 257U);
  EXPECT_EQ(endpoint.pod_mac[5], 11);
  EXPECT_EQ(endpoint.host_mac[4], 1);
  EXPECT_EQ(from_abi(rows.devices.at(2).ipv4), ip("192.0.2.1"));
  EXPECT_EQ(from_abi(rows.devices.at(2).ipv6), ip("2001:db8::1"));
  EXPECT_EQ(rows.devices.at(2).flags, 0U);
  EXPECT_EQ(rows.devices.at(9).flags, DEVICE_OVERLAY);
  EXPECT_EQ(rows.neighbours.size(), 2U);
  EXPECT_EQ(rows.neighbours[0].mac.bytes[5], 11);
}

TEST(CompileDevices, UnnumberedUplinkTranslatesToTheNodesAddress) {
  Desired desired = three_nodes();
  desired.uplinks[0].addresses.clear();

  const Rows rows = compile(desired);

  EXPECT_EQ(from_abi(rows.devices.at(2).ipv4), ip("192.0.2.1"));
}

TEST(CompileDevices, FamilyThatTheHostLacksHasNoAddress) {
  Desired desired = three_nodes();
  desired.uplinks[0].addresses = {ip("192.0.2.1")};
  desired.host_addresses = {ip("192.0.2.1")};
  desired.endpoints[0].ipv6.reset();

  const Rows rows = compile(desired);

  EXPECT_FALSE(from_abi(rows.devices.at(2).ipv6).is_set());
  EXPECT_FALSE(from_abi(rows.endpoints.at(11).ipv6).is_set());
}

TEST(CompileNode, CarriesSettingsAndGateways) {
  Desired desired = three_nodes();
  desired.settings.tunnel_id = 7;

  const Rows rows = compile(desired);

  EXPECT_EQ(rows.node.overlay_ifindex, 9U);
  EXPECT_EQ(rows.node.tunnel_id, 7U);
  EXPECT_EQ(rows.node.snat_port_min, 10240);
  EXPECT_EQ(rows.node.snat_port_max, 29999);
  EXPECT_EQ(from_abi(rows.node.gateway4), ip("169.254.1.1"));
  EXPECT_EQ(from_abi(rows.node.gateway6), ip("fe80::1"));
  EXPECT_EQ(from_abi(rows.node.tunnel_source), ip("192.0.2.1"));
  EXPECT_EQ(rows.config.ipv4 + rows.config.ipv6 + rows.config.overlay + rows.config.translate +
                rows.config.events,
            5);
}

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
