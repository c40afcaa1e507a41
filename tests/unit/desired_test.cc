// SPDX-License-Identifier: Apache-2.0
// The desired state: which pod an endpoint is, which devices are uplinks, identity numbers,
// snapshots.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "agent/desired/pod_of.h"
#include "agent/desired/prefix_map.h"
#include "agent/desired/state.h"
#include "agent/desired/uplinks.h"
#include "bpf/abi/endpoint.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Address ip(const std::string& text) {
  return *parse_address(text);
}

PodIntent pod(const std::string& namespace_name, const std::string& name,
              const std::string& node = "") {
  return {.namespace_name = namespace_name,
          .name = name,
          .node = node,
          .identity = "namespace=" + namespace_name};
}

LocalEndpoint endpoint(const std::string& container_id, uint32_t ifindex) {
  return {.network = "sluice", .container_id = container_id, .ifname = "eth0", .ifindex = ifindex};
}

Desired with_pods(std::vector<PodIntent> pods) {
  Desired desired;
  desired.settings.node_name = "n1";
  desired.intent.pods = std::move(pods);
  for (const auto& each : desired.intent.pods) {
    desired.identity_numbers.emplace(each.identity,
                                     256 + static_cast<uint32_t>(desired.identity_numbers.size()));
  }
  return desired;
}

TEST(PodOf, PodThatCniNamed) {
  const Desired desired = with_pods({pod("a", "x"), pod("b", "x")});
  LocalEndpoint local = endpoint("0123", 5);
  local.pod_namespace = "b";
  local.pod_name = "x";

  const EndpointPod found = pod_of(desired, local);

  EXPECT_EQ(found.pod, &desired.intent.pods[1]);
  EXPECT_EQ(found.identity, 257U);
}

TEST(PodOf, NamedPodThatTheIntentDoesNotHaveYetIsInit) {
  const Desired desired = with_pods({pod("a", "x")});
  LocalEndpoint local = endpoint("a-x", 5);  // the container id would fit, but CNI's word counts
  local.pod_namespace = "a";
  local.pod_name = "y";

  const EndpointPod found = pod_of(desired, local);

  EXPECT_EQ(found.pod, nullptr);
  EXPECT_EQ(found.namespace_name + "/" + found.name, "a/y");
  EXPECT_EQ(found.identity, static_cast<uint32_t>(IDENTITY_INIT));
}

TEST(PodOf, PodOfTheSameNameWithAnotherUidIsAnother) {
  Desired desired = with_pods({pod("a", "x")});
  desired.intent.pods[0].uid = "old";
  LocalEndpoint local = endpoint("1", 5);
  local.pod_namespace = "a";
  local.pod_name = "x";
  local.pod_uid = "new";

  EXPECT_EQ(pod_of(desired, local).identity, static_cast<uint32_t>(IDENTITY_INIT));
  local.pod_uid = "old";
  EXPECT_EQ(pod_of(desired, local).identity, 256U);
  local.pod_uid = "";
  EXPECT_EQ(pod_of(desired, local).identity, 256U);
}

TEST(PodOf, ContainerIdNamesNamespaceAndPod) {
  const Desired desired = with_pods(
      {pod("a", "x"), pod("a-b", "c"), pod("kube-system", "dns-0"), pod("other", "x", "n2")});

  EXPECT_EQ(pod_of(desired, endpoint("a-x", 1)).pod, &desired.intent.pods[0]);
  EXPECT_EQ(pod_of(desired, endpoint("a-b-c", 1)).pod, &desired.intent.pods[1]);
  EXPECT_EQ(pod_of(desired, endpoint("kube-system-dns-0", 1)).pod, &desired.intent.pods[2]);
  EXPECT_EQ(pod_of(desired, endpoint("other-x", 1)).pod, nullptr);  // bound to another node
}

TEST(PodOf, OfTwoReadingsTheShorterNamespaceCounts) {
  const Desired desired = with_pods({pod("a", "b-c"), pod("a-b", "c")});

  EXPECT_EQ(pod_of(desired, endpoint("a-b-c", 1)).pod, &desired.intent.pods[0]);
}

TEST(PodOf, ContainerWithoutPodIsUnmanaged) {
  const EndpointPod found = pod_of(with_pods({pod("a", "x")}), endpoint("stray-", 1));

  EXPECT_EQ(found.namespace_name, "");
  EXPECT_EQ(found.name, "stray-");
  EXPECT_EQ(found.identity, static_cast<uint32_t>(IDENTITY_UNMANAGED));
}

LinkInfo link(uint32_t ifindex, const std::string& name, const std::string& kind = "") {
  LinkInfo info;
  info.ifindex = ifindex;
  info.name = name;
  info.kind = kind;
  info.mtu = 1500;
  info.loopback = name == "lo";
  return info;
}

AddressInfo address(uint32_t ifindex, const std::string& text, int length, int scope = 0) {
  return {.ifindex = ifindex,
          .address = ip(text),
          .prefix_length = static_cast<uint8_t>(length),
          .scope = static_cast<uint8_t>(scope)};
}

RouteInfo default_route(uint32_t ifindex, uint32_t metric, const char* destination = "0.0.0.0/0") {
  RouteInfo route;
  route.destination = *parse_prefix(destination);
  route.ifindex = ifindex;
  route.metric = metric;
  return route;
}

std::vector<std::string> names(const std::vector<Uplink>& uplinks) {
  std::vector<std::string> result;
  for (const auto& uplink : uplinks) result.push_back(uplink.name);
  return result;
}

HostNetwork usual_host() {
  HostNetwork host;
  host.links = {link(1, "lo"),
                link(2, "eth0"),
                link(3, "eth1"),
                link(4, "docker0", "bridge"),
                link(5, "sl0123456789ab", "veth"),
                link(6, kOverlayDevice, "vxlan"),
                link(7, "eth2"),
                link(8, "br-abc", "bridge")};
  host.addresses = {address(1, "127.0.0.1", 8, 254), address(1, "::1", 128, 254),
                    address(2, "192.0.2.9", 24),     address(2, "192.0.2.1", 24),
                    address(2, "fe80::2", 64, 253),  address(2, "2001:db8::1", 64),
                    address(3, "198.51.100.1", 25),  address(4, "172.17.0.1", 16),
                    address(7, "203.0.113.7", 32),   address(8, "172.18.0.1", 16)};
  host.routes = {default_route(2, 100)};
  return host;
}

TEST(FindUplinks, DefaultRouteAndNodeAddressMakeAnUplink) {
  const auto uplinks = find_uplinks(usual_host(), {}, {ip("192.0.2.1"), ip("198.51.100.1")});

  ASSERT_THAT(names(uplinks), ElementsAre("eth0", "eth1"));
  EXPECT_THAT(uplinks[0].addresses,
              ElementsAre(ip("192.0.2.1"), ip("192.0.2.9"), ip("2001:db8::1")));
  EXPECT_THAT(uplinks[0].subnets, testing::UnorderedElementsAre(*parse_prefix("192.0.2.0/24"),
                                                                *parse_prefix("2001:db8::/64")));
  EXPECT_THAT(uplinks[1].subnets, ElementsAre(*parse_prefix("198.51.100.0/25")));
}

TEST(FindUplinks, AddressThatNothingMayStartFromIsNone) {
  HostNetwork host = usual_host();
  for (const char* text : {"2001:db8::1", "2001:db8::a", "2001:db8::b"})
    host.addresses.push_back(address(3, text, 64));
  host.addresses[host.addresses.size() - 3].deprecated = true;
  host.addresses[host.addresses.size() - 2].tentative = true;

  const auto uplinks = find_uplinks(host, {}, {ip("198.51.100.1")});

  ASSERT_THAT(names(uplinks), ElementsAre("eth0", "eth1"));
  EXPECT_THAT(uplinks[1].addresses, ElementsAre(ip("198.51.100.1"), ip("2001:db8::b")));
}

TEST(FindUplinks, LowestMetricComesFirst) {
  HostNetwork host = usual_host();
  host.routes = {default_route(2, 100), default_route(7, 50, "::/0"), default_route(3, 200)};

  const auto uplinks = find_uplinks(host, {}, {});

  EXPECT_THAT(names(uplinks), ElementsAre("eth2", "eth0", "eth1"));
  EXPECT_THAT(uplinks[0].subnets, IsEmpty());  // a host address has no subnet
}

TEST(FindUplinks, WhatIsOursOrAnEnginesIsNone) {
  HostNetwork host = usual_host();
  host.routes.clear();
  for (const uint32_t ifindex : {1U, 4U, 5U, 6U, 8U})
    host.routes.push_back(default_route(ifindex, 0));

  EXPECT_THAT(find_uplinks(host, {}, {}), IsEmpty());
  EXPECT_THAT(find_uplinks(host, {"*"}, {}).size(),
              5U);  // asked for, bridges are taken; ours and lo never
}

TEST(FindUplinks, BridgeOfTheHostIsAnUplink) {
  HostNetwork host = usual_host();
  host.links[1].name = "br0";
  host.links[1].kind = "bridge";

  EXPECT_THAT(names(find_uplinks(host, {}, {})), ElementsAre("br0"));
}

TEST(FindUplinks, ConfiguredNamesAndPatternsCount) {
  EXPECT_THAT(names(find_uplinks(usual_host(), {"eth1"}, {})), ElementsAre("eth1"));
  EXPECT_THAT(names(find_uplinks(usual_host(), {"eth[12]"}, {ip("192.0.2.1")})),
              ElementsAre("eth1", "eth2"));
  EXPECT_THAT(find_uplinks(usual_host(), {"wlan*"}, {}), IsEmpty());
}

TEST(FindHostAddresses, LeavesOutWhatNoPodCanReach) {
  const auto addresses = find_host_addresses(usual_host());

  EXPECT_THAT(addresses,
              testing::UnorderedElementsAre(ip("192.0.2.9"), ip("192.0.2.1"), ip("2001:db8::1"),
                                            ip("198.51.100.1"), ip("172.17.0.1"), ip("203.0.113.7"),
                                            ip("172.18.0.1")));
  EXPECT_TRUE(std::is_sorted(addresses.begin(), addresses.end()));
}

class StateTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sluice-state-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    file_ = folder_ + "/identities.json";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::unique_ptr<DesiredState> open() {
    NodeSettings settings;
    settings.node_name = "n1";
    auto state = DesiredState::open(settings, folder_);
    EXPECT_TRUE(state.has_value());
    return std::move(*state);
  }
  // What leads from the state's intent to these pods and nothing else.
  static IntentDelta only(const DesiredState& state, std::vector<PodIntent> pods) {
    Intent wanted;
    wanted.pods = std::move(pods);
    IntentDelta delta = everything(wanted);
    for (const PodIntent& pod : state.desired().intent.pods) {
      if (find_pod(wanted, pod.namespace_name, pod.name) == nullptr)
        delta.removed_pods.push_back(key_of(pod));
    }
    return delta;
  }
  std::string folder_;
  std::string file_;
};

TEST_F(StateTest, NumbersIdentitiesDenselyAndKeepsThemOverARestart) {
  auto state = open();
  ASSERT_TRUE(state->change_intent(only(*state, {pod("b", "x"), pod("b", "y"), pod("c", "x")}))
                  .has_value());
  EXPECT_EQ(state->desired().identity_numbers,
            (std::map<std::string, uint32_t>{{"namespace=b", 256}, {"namespace=c", 257}}));
  ASSERT_TRUE(state->change_intent(only(*state, {pod("a", "x"), pod("c", "x")})).has_value());
  EXPECT_EQ(state->desired().identity_numbers.at("namespace=b"),
            256U);  // for life, though no pod has it now
  EXPECT_EQ(state->desired().identity_numbers.at("namespace=a"), 258U);

  state = open();
  ASSERT_TRUE(state->change_intent(only(*state, {pod("b", "x"), pod("c", "x"), pod("d", "x")}))
                  .has_value());

  EXPECT_EQ(state->desired().identity_numbers,
            (std::map<std::string, uint32_t>{
                {"namespace=b", 256}, {"namespace=c", 257}, {"namespace=d", 259}}));
  state = open();
  ASSERT_TRUE(state->change_intent(only(*state, {pod("a", "x"), pod("d", "x")})).has_value());
  EXPECT_EQ(state->desired().identity_numbers,
            (std::map<std::string, uint32_t>{{"namespace=d", 259}, {"namespace=a", 260}}));
}

TEST_F(StateTest, CorruptNumbersAreSetAsideAndNewOnesGiven) {
  for (const char* text :
       {"", "{", "[]", R"({"version":2,"next":256,"identities":{}})",
        R"({"version":1,"next":3,"identities":{}})",
        R"({"version":1,"next":300,"identities":{"a":300}})",
        R"({"version":1,"next":300,"identities":{"a":5}})",
        R"({"version":1,"next":300,"identities":{"a":260,"b":260}})",
        R"({"version":1,"next":300,"identities":{"a":"x"}})",
        R"({"version":1,"next":300,"identities":7})", R"({"version":"1","next":-1})"}) {
    std::ofstream(file_) << text;
    auto state = open();
    ASSERT_NE(state, nullptr) << text;
    EXPECT_THAT(state->desired().identity_numbers, IsEmpty()) << text;
    EXPECT_TRUE(std::filesystem::exists(file_ + ".corrupt")) << text;
    EXPECT_FALSE(std::filesystem::exists(file_)) << text;
  }
}

TEST_F(StateTest, UnreadableNumbersAreAnError) {
  std::filesystem::create_directory(file_);

  const auto state = DesiredState::open({}, folder_);

  ASSERT_FALSE(state.has_value());
  EXPECT_THAT(state.error().message(), HasSubstr(file_));
}

TEST_F(StateTest, StateChangesEvenWhereNumbersCannotBeSavedAndSavingIsTriedAgain) {
  auto state = open();
  std::filesystem::remove_all(folder_);

  const auto failed = state->change_intent(only(*state, {pod("a", "x")}));

  ASSERT_FALSE(failed.has_value());
  EXPECT_THAT(failed.error().message(), HasSubstr("identities.json"));
  EXPECT_EQ(state->desired().identity_numbers.at("namespace=a"), 256U);
  EXPECT_EQ(state->desired().intent.pods.size(), 1U);
  std::filesystem::create_directory(folder_);
  const auto again = state->change_intent(only(*state, {pod("a", "x")}));
  ASSERT_TRUE(again.has_value());
  EXPECT_FALSE(*again);
  EXPECT_TRUE(std::filesystem::exists(file_));
}

TEST_F(StateTest, RevisionGrowsOnlyWithChanges) {
  auto state = open();
  const uint64_t start = state->revision();

  EXPECT_TRUE(*state->change_intent(only(*state, {pod("a", "x")})));
  EXPECT_FALSE(*state->change_intent(only(*state, {pod("a", "x")})));
  EXPECT_TRUE(state->set_endpoints({endpoint("a-x", 7)}));
  EXPECT_FALSE(state->set_endpoints({endpoint("a-x", 7)}));
  EXPECT_TRUE(state->set_host({{.name = "eth0", .ifindex = 2}}, {ip("192.0.2.1")}));
  EXPECT_FALSE(state->set_host({{.name = "eth0", .ifindex = 2}}, {ip("192.0.2.1")}));
  EXPECT_TRUE(state->set_overlay_ifindex(9));
  EXPECT_FALSE(state->set_overlay_ifindex(9));
  EXPECT_TRUE(state->set_endpoints({}));

  EXPECT_EQ(state->revision(), start + 5);
}

TEST(PrefixMap, LongestPrefixWins) {
  PrefixMap<int> map;
  map.insert(*parse_prefix("::/0"), 0);
  map.insert(*parse_prefix("10.0.0.0/8"), 8);
  map.insert(*parse_prefix("10.1.0.0/17"), 17);
  map.insert(*parse_prefix("10.1.0.1/32"), 32);

  EXPECT_EQ(*map.find(ip("10.1.0.1")), 32);
  EXPECT_EQ(*map.find(ip("10.1.127.1")), 17);
  EXPECT_EQ(*map.find(ip("10.1.128.1")), 8);
  EXPECT_EQ(*map.find(ip("11.0.0.0")), 0);
  EXPECT_EQ(PrefixMap<int>().find(ip("10.0.0.1")), nullptr);
}

TEST(TakenAddresses, AreTheHostsAndItsRouters) {
  HostNetwork host;
  host.addresses = {{.ifindex = 1, .address = *parse_address("127.0.0.1")},
                    {.ifindex = 2, .address = *parse_address("192.0.2.11")}};
  RouteInfo by_router;
  by_router.via = *parse_address("192.0.2.1");
  host.routes = {by_router, RouteInfo{}, by_router};

  EXPECT_EQ(find_taken_addresses(host),
            (std::vector<Address>{*parse_address("192.0.2.1"), *parse_address("192.0.2.11")}));
}

}  // namespace
}  // namespace sluice
