// SPDX-License-Identifier: Apache-2.0
// lib/netlink against the kernel, in a network namespace of the test's own.
#include "lib/netlink/netlink.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/unit/kernel_sandbox.h"

namespace sluice {
namespace {

using NetlinkTest = KernelSandbox;

RouteInfo route(const char* destination, uint32_t ifindex, uint8_t protocol) {
  RouteInfo info;
  info.destination = *parse_prefix(destination);
  info.ifindex = ifindex;
  info.protocol = protocol;
  return info;
}

TEST_F(NetlinkTest, MakesAVethWithItsAliasAndReadsItBack) {
  const uint32_t ifindex = add_pair("a0", "sluice:pod");

  const auto link = netlink_->link(ifindex);

  ASSERT_TRUE(link);
  EXPECT_EQ(link->name, "a0");
  EXPECT_EQ(link->kind, "veth");
  EXPECT_EQ(link->alias, "sluice:pod");
  EXPECT_EQ(link->mtu, 1500U);
  EXPECT_EQ(to_string(link->mac), "02:00:00:00:00:01");
  EXPECT_TRUE(link->up);
  EXPECT_EQ(link->peer_ifindex, netlink_->link("pa0")->ifindex);
  EXPECT_EQ(netlink_->links()->size(), 3U);  // and lo
}

TEST_F(NetlinkTest, SaysWhichAddressesAreDeprecatedOrTentative) {
  add_pair("a0", "");
  ASSERT_EQ(system("ip -6 addr add 2001:db8::1/64 dev a0 nodad;"
                   "ip -6 addr add 2001:db8::2/64 dev a0 nodad preferred_lft 0;"
                   "ip link add t0 type veth peer name pt0; ip link set t0 up;"
                   "ip -6 addr add 2001:db8:1::3/64 dev t0"),  // no carrier: waits for its check
            0);

  const auto all = netlink_->addresses();

  ASSERT_TRUE(all);
  const auto flags = [&](const char* text) {
    const auto found = std::find_if(all->begin(), all->end(), [&](const AddressInfo& info) {
      return info.address == *parse_address(text);
    });
    EXPECT_NE(found, all->end()) << text;
    return std::pair(found->deprecated, found->tentative);
  };
  EXPECT_EQ(flags("2001:db8::1"), std::pair(false, false));
  EXPECT_EQ(flags("2001:db8::2"), std::pair(true, false));
  EXPECT_EQ(flags("2001:db8:1::3"), std::pair(false, true));
}

TEST_F(NetlinkTest, PutsTheInnerEndIntoTheOtherNamespace) {
  ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
  auto here = Netlink::open();
  const VethEnd host{.name = "h0", .mac = Mac{{2, 0, 0, 0, 0, 1}}, .mtu = 1400};
  const VethEnd pod{.name = "eth0", .mac = Mac{{2, 0, 0, 0, 0, 2}}, .mtu = 1400};

  ASSERT_TRUE(here->add_veth(host, pod, netns_.get(), "x"));

  auto inside = Netlink::open_in(netns_.get());
  ASSERT_TRUE(inside);
  EXPECT_EQ(inside->link("eth0")->mtu, 1400U);
  EXPECT_FALSE(here->link("eth0"));
  EXPECT_TRUE(here->link("h0"));  // the caller has not moved
}

TEST_F(NetlinkTest, ErrorsCarryCodeObjectAndTheKernelsWords) {
  add_pair("a0", "x");
  const VethEnd end{.name = "a0", .mac = Mac{{2, 0, 0, 0, 0, 1}}};
  const VethEnd peer{.name = "b0", .mac = Mac{{2, 0, 0, 0, 0, 2}}};

  EXPECT_EQ(netlink_->add_veth(end, peer, netns_.get(), "x").error().code, ErrorCode::kExists);
  EXPECT_EQ(netlink_->link("none").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(netlink_->link(4242).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(netlink_->delete_link(4242).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(netlink_->link("name_of_16_chars").error().code, ErrorCode::kInvalid);
  const auto mtu = netlink_->set_link_mtu(netlink_->link("a0")->ifindex, 10);
  ASSERT_FALSE(mtu);
  EXPECT_NE(mtu.error().context.find("mtu"), std::string::npos);
  EXPECT_NE(mtu.error().context.find("("), std::string::npos) << mtu.error().message();
}

TEST_F(NetlinkTest, AddressesOfBothFamilies) {
  const uint32_t ifindex = add_pair("a0", "x");

  for (const char* text : {"10.1.0.1", "fd00::1"}) {
    const Address address = *parse_address(text);
    const uint8_t length = address.is_ipv4() ? 24 : 64;
    ASSERT_TRUE(netlink_->add_address(ifindex, address, length));
    EXPECT_EQ(netlink_->add_address(ifindex, address, length).error().code, ErrorCode::kExists);
    const auto all = netlink_->addresses();
    const auto found = std::find_if(
        all->begin(), all->end(), [&](const AddressInfo& info) { return info.address == address; });
    ASSERT_NE(found, all->end()) << text;
    EXPECT_EQ(found->prefix_length, length);
    EXPECT_TRUE(netlink_->delete_address(ifindex, address, length));
    EXPECT_EQ(netlink_->delete_address(ifindex, address, length).error().code,
              ErrorCode::kNotFound);
  }
}

TEST_F(NetlinkTest, RoutesOfBothFamiliesKeepAllTheirFields) {
  const uint32_t ifindex = add_pair("a0", "x");
  ASSERT_TRUE(netlink_->add_address(ifindex, *parse_address("10.1.0.1"), 24));
  ASSERT_TRUE(netlink_->add_address(ifindex, *parse_address("fd00::1"), 64));
  const struct {
    const char* destination;
    const char* via;
    const char* source;
  } rows[] = {{"10.9.0.0/16", "10.1.0.2", "10.1.0.1"}, {"fd09::/64", "fd00::2", "fd00::1"},
              {"0.0.0.0/0", "10.1.0.3", nullptr},      {"10.7.0.7/32", nullptr, nullptr},
              {"fd07::7/128", nullptr, nullptr},       {"10.8.0.0/16", "fd00::2", nullptr}};
  for (const auto& row : rows) {
    RouteInfo wanted = route(row.destination, ifindex, kRouteProtocol);
    if (row.via != nullptr) wanted.via = *parse_address(row.via);
    if (row.source != nullptr) wanted.source = *parse_address(row.source);
    wanted.mtu = 1350;
    wanted.onlink = row.via != nullptr;
    const auto set = netlink_->replace_route(wanted);
    ASSERT_TRUE(set) << set.error().message();
    const auto ours = netlink_->routes(kRouteProtocol);
    ASSERT_EQ(ours->size(), 1U) << row.destination;
    EXPECT_EQ(ours->front().destination, wanted.destination);
    EXPECT_EQ(ours->front().via, wanted.via) << row.destination;
    EXPECT_EQ(ours->front().source, wanted.source) << row.destination;
    EXPECT_EQ(ours->front().mtu, 1350U);
    EXPECT_EQ(netlink_->add_route(wanted).error().code, ErrorCode::kExists) << row.destination;
    EXPECT_TRUE(netlink_->delete_route(ours->front()));
    EXPECT_EQ(netlink_->delete_route(wanted).error().code, ErrorCode::kNotFound);
  }
}

TEST_F(NetlinkTest, ListsOnlyTheAskedProtocol) {
  const uint32_t ifindex = add_pair("a0", "x");
  ASSERT_TRUE(netlink_->add_route(route("10.1.0.0/24", ifindex, kRouteProtocol)));
  ASSERT_TRUE(netlink_->add_route(route("10.2.0.0/24", ifindex, 4)));

  EXPECT_EQ(netlink_->routes(kRouteProtocol)->size(), 1U);
  EXPECT_GE(netlink_->routes()->size(), 2U);
}

TEST_F(NetlinkTest, DumpsThousandsOfRoutesWhole) {
  const uint32_t ifindex = add_pair("a0", "x");
  const Address base = *parse_address("10.0.0.0");
  for (uint64_t i = 0; i < 5000; i++) {
    RouteInfo one = route("10.0.0.0/32", ifindex, kRouteProtocol);
    one.destination.address = *advance(base, i);
    ASSERT_TRUE(netlink_->add_route(one));
  }

  EXPECT_EQ(netlink_->routes(kRouteProtocol)->size(), 5000U);
}

TEST_F(NetlinkTest, NeighboursArePermanentAndOurs) {
  const uint32_t ifindex = add_pair("a0", "x");
  for (const char* text : {"10.1.0.9", "fd00::9"}) {
    const NeighbourInfo wanted{.ifindex = ifindex,
                               .address = *parse_address(text),
                               .mac = Mac{{2, 9, 9, 9, 9, 9}},
                               .permanent = true,
                               .protocol = kRouteProtocol};
    ASSERT_TRUE(netlink_->replace_neighbour(wanted));
    const auto all = netlink_->neighbours();
    const auto found = std::find_if(all->begin(), all->end(), [&](const NeighbourInfo& info) {
      return info.address == wanted.address;
    });
    ASSERT_NE(found, all->end()) << text;
    EXPECT_TRUE(found->permanent);
    EXPECT_EQ(found->protocol, kRouteProtocol);
    EXPECT_EQ(found->mac, wanted.mac);
    EXPECT_TRUE(netlink_->delete_neighbour(wanted));
  }
}

TEST_F(NetlinkTest, TheMonitorSpeaksOnlyOfChanges) {
  auto monitor = NetlinkMonitor::open();
  ASSERT_TRUE(monitor);
  EXPECT_FALSE(*monitor->drain());

  add_pair("a0", "x");

  EXPECT_TRUE(*monitor->drain());
  // Bringing a pair up sets off more changes for a moment; a route is one for sure.
  ASSERT_TRUE(netlink_->add_route(route("10.1.0.0/24", netlink_->link("a0")->ifindex, 83)));
  EXPECT_TRUE(*monitor->drain());
}

TEST_F(NetlinkTest, TheMonitorSurvivesAnOverrun) {
  auto monitor = NetlinkMonitor::open();
  const uint32_t ifindex = add_pair("a0", "x");
  for (uint32_t i = 0; i < 20000; i++) {
    RouteInfo one = route("10.0.0.0/32", ifindex, kRouteProtocol);
    one.destination.address = *advance(one.destination.address, i % 256);
    ASSERT_TRUE(i / 256 % 2 == 0 ? netlink_->add_route(one) : netlink_->delete_route(one));
  }

  const auto changed = monitor->drain();

  ASSERT_TRUE(changed) << changed.error().message();
  EXPECT_TRUE(*changed);
}

}  // namespace
}  // namespace sluice
