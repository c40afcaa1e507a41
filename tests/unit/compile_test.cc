// SPDX-License-Identifier: Apache-2.0
// Desired state to rows: who owns an address, and how a node is reached.
#include "agent/compile/compile.h"

#include "tests/unit/compile_samples.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

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

}  // namespace
}  // namespace sluice
