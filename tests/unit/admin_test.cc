// SPDX-License-Identifier: Apache-2.0
// agent/admin: kernel rows to messages, requests to answers, conditions.
#include "agent/admin/admin.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "agent/admin/decode.h"

namespace sluice {
namespace {

using admin::v1::AdminRequest;
using admin::v1::AdminResponse;
using testing::ElementsAre;
using testing::HasSubstr;

ip_addr abi(const char* text) {
  return to_abi(*parse_address(text));
}

ct_key key_of(const char* a, uint16_t port_a, const char* b, uint16_t port_b) {
  ct_key key{};
  key.addr_a = abi(a);
  key.addr_b = abi(b);
  key.port_a_be = htons(port_a);
  key.port_b_be = htons(port_b);
  key.proto = IPPROTO_TCP;
  return key;
}

AdminSources empty_sources() {
  AdminSources sources;
  sources.desired = [] { return std::make_shared<const Desired>(); };
  sources.conditions = [] { return std::vector<ConditionState>(); };
  sources.facts = [] { return AgentFacts{}; };
  sources.pools = [] { return std::vector<PoolUse>(); };
  sources.tables = []() -> Result<std::vector<TableUse>> { return std::vector<TableUse>(); };
  sources.verdicts = []() -> Result<VerdictCounters> { return VerdictCounters{}; };
  sources.drops = [](const DropVisitor&) { return Status(); };
  sources.conntrack = [](const ConntrackVisitor&) { return Status(); };
  sources.translations = [](const TranslationVisitor&) { return Status(); };
  sources.identities = [](const IdentityVisitor&) { return Status(); };
  sources.endpoints = [](const EndpointVisitor&) { return Status(); };
  sources.device_name = [](uint32_t) { return std::string(); };
  sources.monotonic_ns = [] { return uint64_t{5000000000}; };
  return sources;
}

LocalEndpoint client() {
  LocalEndpoint endpoint;
  endpoint.pod_namespace = "demo";
  endpoint.pod_name = "client";
  endpoint.host_device = "sl0123";
  endpoint.ifindex = 7;
  endpoint.ipv4 = *parse_address("10.0.1.5");
  return endpoint;
}

TEST(DecodeConntrack, OpenerIsAWhenTheFlagSaysSo) {
  ct_entry entry{};
  entry.flags = CT_OPENER_IS_A | CT_TRANSLATE | CT_PICKED_UP;
  entry.state = CT_STATE_ESTABLISHED;
  entry.hook = HOOK_POD_EGRESS;
  entry.created_ns = 2000000000;
  entry.last_seen_ns = 4500000000;
  entry.packets[CT_FROM_OPENER] = 10;
  entry.packets[CT_FROM_REPLIER] = 20;
  entry.nat_addr = abi("192.0.2.1");
  entry.nat_port_be = htons(10240);

  const auto row =
      decode_conntrack(key_of("10.0.1.5", 40000, "203.0.113.9", 443), entry, 5000000000);

  EXPECT_EQ(row.protocol(), "tcp");
  EXPECT_EQ(row.opener(), "10.0.1.5");
  EXPECT_EQ(row.opener_port(), 40000U);
  EXPECT_EQ(row.replier(), "203.0.113.9");
  EXPECT_EQ(row.replier_port(), 443U);
  EXPECT_EQ(row.state(), "established");
  EXPECT_EQ(row.age_ms(), 3000U);
  EXPECT_EQ(row.idle_ms(), 500U);
  EXPECT_EQ(row.opener_packets(), 10U);
  EXPECT_EQ(row.replier_packets(), 20U);
  EXPECT_EQ(row.translated_address(), "192.0.2.1");
  EXPECT_EQ(row.translated_port(), 10240U);
  EXPECT_EQ(row.tunnel(), "");
  EXPECT_EQ(row.hook(), "pod_egress");
  EXPECT_THAT(row.flags(), ElementsAre("translate", "picked_up"));
}

TEST(DecodeConntrack, OpenerIsBOtherwiseAndIpv6IsRead) {
  ct_entry entry{};
  entry.state = CT_STATE_CLOSED;
  entry.created_ns = 9000000000;  // newer than the clock that was read before it
  entry.peer_node = abi("fd00::2");

  const auto row = decode_conntrack(key_of("fd00::1", 80, "fd00::9", 5000), entry, 5000000000);

  EXPECT_EQ(row.opener(), "fd00::9");
  EXPECT_EQ(row.opener_port(), 5000U);
  EXPECT_EQ(row.replier(), "fd00::1");
  EXPECT_EQ(row.state(), "closed");
  EXPECT_EQ(row.age_ms(), 0U);
  EXPECT_EQ(row.tunnel(), "fd00::2");
}

TEST(DecodeConntrack, WhatHasNoNameIsShownByNumber) {
  ct_entry entry{};
  entry.flags = 0x4000;
  entry.state = 9;
  entry.hook = 77;
  ct_key key = key_of("10.0.0.1", 0, "10.0.0.2", 0);
  key.proto = 47;

  const auto row = decode_conntrack(key, entry, 0);

  EXPECT_EQ(row.protocol(), "47");
  EXPECT_EQ(row.state(), "state 9");
  EXPECT_EQ(row.hook(), "hook 77");
  EXPECT_THAT(row.flags(), ElementsAre("0x4000"));
}

TEST(DecodeTranslation, PortsAreInHostOrder) {
  nat_key key{};
  key.remote = abi("203.0.113.9");
  key.node = abi("192.0.2.1");
  key.remote_port_be = htons(53);
  key.node_port_be = htons(10241);
  key.proto = IPPROTO_UDP;
  nat_row value{};
  value.pod = abi("10.0.1.5");
  value.pod_port_be = htons(40001);

  const auto row = decode_translation(key, value, 1000000);

  EXPECT_EQ(row.protocol(), "udp");
  EXPECT_EQ(row.pod(), "10.0.1.5");
  EXPECT_EQ(row.pod_port(), 40001U);
  EXPECT_EQ(row.node_port(), 10241U);
  EXPECT_EQ(row.remote_port(), 53U);
  EXPECT_EQ(row.age_ms(), 1U);
}

TEST(DecodeIdentity, PrefixNameAndFlagsAreText) {
  identity_key key{};
  key.prefix_bits = 96 + 24;
  const ip_addr address = abi("10.0.2.0");
  std::copy(std::begin(address.bytes), std::end(address.bytes), std::begin(key.addr));
  identity_row value{};
  value.identity = 300;
  value.flags = ADDRESS_REMOTE_POD | ADDRESS_TUNNEL;
  value.node = abi("192.0.2.2");

  const auto row = decode_identity(key, value, {{300, "namespace=Demo"}});

  EXPECT_EQ(row.prefix(), "10.0.2.0/24");
  EXPECT_EQ(row.identity_name(), "namespace=Demo");
  EXPECT_EQ(row.node(), "192.0.2.2");
  EXPECT_THAT(row.flags(), ElementsAre("remote_pod", "tunnel"));
  EXPECT_EQ(identity_name(IDENTITY_WORLD, {}), "world");
  EXPECT_EQ(identity_name(999, {}), "");
}

TEST(AdminService, BytesThatAreNoRequestAreAnError) {
  const AdminService service(empty_sources());

  AdminResponse response;
  ASSERT_TRUE(response.ParseFromString(service.handle("\xff\xff\xff")));

  EXPECT_THAT(response.error(), HasSubstr("not an AdminRequest"));
}

TEST(AdminService, AnEmptyRequestIsAnError) {
  AdminResponse response;
  ASSERT_TRUE(response.ParseFromString(AdminService(empty_sources()).handle("")));

  EXPECT_THAT(response.error(), HasSubstr("admin request"));
}

TEST(AdminService, AFailedSourceIsAnErrorAndNoHalfAnswer) {
  AdminSources sources = empty_sources();
  sources.conntrack = [](const ConntrackVisitor& visit) -> Status {
    visit(key_of("10.0.0.1", 1, "10.0.0.2", 2), ct_entry{});
    return fail(from_errno("walk", EPERM));
  };
  AdminRequest request;
  request.mutable_conntrack();

  const AdminResponse response = AdminService(sources).answer(request);

  EXPECT_EQ(response.error(), "read sl_ct: walk: Operation not permitted");
  EXPECT_EQ(response.response_case(), AdminResponse::RESPONSE_NOT_SET);
}

TEST(AdminService, ConntrackIsFilteredAndBoundedAndCounted) {
  AdminSources sources = empty_sources();
  sources.conntrack = [](const ConntrackVisitor& visit) -> Status {
    for (uint16_t port = 1; port <= 10; ++port) {
      visit(key_of("10.0.0.1", port, "10.0.0.2", 80), ct_entry{});
      visit(key_of("10.0.0.3", port, "10.0.0.2", 443), ct_entry{});
    }
    return {};
  };
  AdminRequest request;
  auto& filter = *request.mutable_conntrack()->mutable_filter();
  filter.set_address("10.0.0.1");
  filter.set_port(80);
  filter.set_protocol("tcp");
  filter.set_limit(3);

  const AdminResponse response = AdminService(sources).answer(request);

  EXPECT_EQ(response.conntrack().rows_size(), 3);
  EXPECT_EQ(response.conntrack().matched(), 10U);
}

TEST(AdminService, ABadFilterNamesItsField) {
  AdminRequest request;
  request.mutable_conntrack()->mutable_filter()->set_address("10.0.0.300");

  EXPECT_THAT(AdminService(empty_sources()).answer(request).error(), HasSubstr("filter.address"));
  request.mutable_conntrack()->mutable_filter()->set_address("");
  request.mutable_conntrack()->mutable_filter()->set_port(65536);
  EXPECT_THAT(AdminService(empty_sources()).answer(request).error(), HasSubstr("filter.port"));
}

TEST(AdminService, AnEndpointWithoutItsRowOrItsDeviceSaysSo) {
  AdminSources sources = empty_sources();
  sources.desired = [] {
    auto desired = std::make_shared<Desired>();
    desired->endpoints.push_back(client());
    return std::shared_ptr<const Desired>(desired);
  };
  AdminRequest request;
  request.mutable_endpoints();

  sources.device_name = [](uint32_t) { return std::string("sl0123"); };
  const AdminResponse without = AdminService(sources).answer(request);
  sources.endpoints = [](const EndpointVisitor& visit) -> Status {
    endpoint_row row{};
    row.ipv4 = abi("10.0.1.5");
    row.identity = IDENTITY_INIT;
    visit(7, row);
    return {};
  };
  const AdminResponse with = AdminService(sources).answer(request);

  EXPECT_EQ(without.endpoints().endpoints(0).state(), "no row in sl_endpoint for ifindex 7");
  EXPECT_EQ(with.endpoints().endpoints(0).state(), "ready");
  EXPECT_EQ(with.endpoints().endpoints(0).identity_name(), "init");
  // A row alone carries nothing: the device may be gone, its index another's.
  for (const auto& [device, state] :
       {std::pair{"", "device sl0123 is gone"},
        std::pair{"eth1", "device sl0123 is gone; its index is eth1's by now"}}) {
    sources.device_name = [name = std::string(device)](uint32_t) { return name; };
    EXPECT_EQ(AdminService(sources).answer(request).endpoints().endpoints(0).state(), state);
  }
}

TEST(AdminService, ADropNamesReasonDeviceAndPod) {
  AdminSources sources = empty_sources();
  sources.desired = [] {
    auto desired = std::make_shared<Desired>();
    desired->endpoints.push_back(client());
    return std::shared_ptr<const Desired>(desired);
  };
  sources.device_name = [](uint32_t) { return std::string("sl0123"); };
  sources.drops = [](const DropVisitor& visit) -> Status {
    drop_key key{};
    key.ifindex = 7;
    key.hook = HOOK_POD_EGRESS;
    key.reason = DROP_SPOOFED_SOURCE;
    visit(key, counter{.packets = 3, .bytes = 180});
    return {};
  };
  AdminRequest request;
  request.mutable_drops();

  const AdminResponse response = AdminService(sources).answer(request);

  ASSERT_EQ(response.drops().drops_size(), 1);
  const auto& drop = response.drops().drops(0);
  EXPECT_EQ(drop.reason(), "SPOOFED_SOURCE");
  EXPECT_EQ(drop.pod(), "demo/client");
  EXPECT_EQ(drop.device(), "sl0123");
  EXPECT_EQ(drop.hook(), "pod_egress");
  EXPECT_EQ(drop.packets(), 3U);
}

TEST(Conditions, SinceMovesOnlyWhenHealthChanges) {
  int64_t now = 100;
  Conditions conditions([&now] { return now; });
  EXPECT_FALSE(conditions.healthy());

  conditions.set("intent", true, "");
  now = 200;
  conditions.set("intent", true, "again");
  EXPECT_TRUE(conditions.healthy());
  EXPECT_EQ(conditions.list().at(0).since_unix_ms, 100);
  conditions.set("intent", false, "file broken");

  EXPECT_FALSE(conditions.healthy());
  EXPECT_EQ(conditions.list().at(0).since_unix_ms, 200);
  EXPECT_EQ(conditions.list().at(0).message, "file broken");
}

}  // namespace
}  // namespace sluice
