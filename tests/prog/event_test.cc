// SPDX-License-Identifier: Apache-2.0
// What the programs tell of a flow: that it opened, that it goes on, that it ended; and that no
// packet ever waits for a reader.
#include <arpa/inet.h>

#include "tests/prog/fixture.h"

namespace sluice::test {
namespace {

bool is(const ip_addr& seen, const Address& wanted) {
  return std::equal(wanted.bytes.begin(), wanted.bytes.end(), seen.bytes);
}

class FlowEvents : public BothFamilies {
 protected:
  Bytes tcp_a(uint8_t flags) {
    return frame(kFromA, Ip{.src = w.pod_a, .dst = w.pod_b},
                 Tcp{.sport = 1000, .dport = 80, .flags = flags});
  }
  Bytes tcp_b(uint8_t flags) {
    return frame(kFromB, Ip{.src = w.pod_b, .dst = w.pod_a},
                 Tcp{.sport = 80, .dport = 1000, .flags = flags});
  }
  // The one event since the last look.
  flow_event only() {
    const std::vector<flow_event> told = rig.events();
    EXPECT_EQ(told.size(), 1U);
    return told.empty() ? flow_event{} : told[0];
  }
  void nothing() { EXPECT_TRUE(rig.events().empty()); }
};
IN_BOTH_FAMILIES(FlowEvents);

TEST_P(FlowEvents, AnOpenNamesBothEndsAndThePacket) {
  const Bytes first = tcp_a(kSyn);
  from_a(first);

  const flow_event event = only();
  EXPECT_EQ(event.kind, EVENT_FLOW_OPEN);
  EXPECT_EQ(event.version, EVENT_VERSION);
  EXPECT_EQ(event.len, sizeof(flow_event));
  EXPECT_EQ(event.hook, HOOK_POD_EGRESS);
  EXPECT_EQ(event.ifindex, devices.pod_a);
  EXPECT_TRUE(is(event.src, w.pod_a));
  EXPECT_TRUE(is(event.dst, w.pod_b));
  EXPECT_EQ(ntohs(event.sport_be), 1000);
  EXPECT_EQ(ntohs(event.dport_be), 80);
  EXPECT_EQ(event.tcp_flags, kSyn);
  EXPECT_EQ(event.src_identity, kIdentityA);
  EXPECT_EQ(event.dst_identity, kIdentityB);
  EXPECT_FALSE(event.is_reply);
  EXPECT_EQ(event.ct_state, CT_STATE_NEW);
  EXPECT_EQ(event.packets[CT_FROM_OPENER], 1U);
  EXPECT_EQ(event.bytes[CT_FROM_OPENER], first.size());
  EXPECT_EQ(event.packet_len, first.size() - kEthernetBytes);
}

TEST_P(FlowEvents, TheFirstReplyIsAnUpdateSeenFromTheReplier) {
  from_a(tcp_a(kSyn));
  from_a(tcp_a(kSyn));
  only();
  from_b(tcp_b(kSyn | kAck));

  const flow_event event = only();
  EXPECT_EQ(event.kind, EVENT_FLOW_UPDATE);
  EXPECT_TRUE(event.is_reply);
  EXPECT_TRUE(is(event.src, w.pod_b));
  EXPECT_EQ(event.src_identity, kIdentityB);
  EXPECT_EQ(event.dst_identity, kIdentityA);
  EXPECT_EQ(event.ct_state, CT_STATE_ESTABLISHED);
  EXPECT_EQ(event.packets[CT_FROM_OPENER], 2U);
  EXPECT_EQ(event.packets[CT_FROM_REPLIER], 1U);
  from_a(tcp_a(kAck));
  nothing();
}

TEST_P(FlowEvents, S31_AnEndOfBothSidesIsOneClose) {
  from_a(tcp_a(kSyn));
  from_b(tcp_b(kSyn | kAck));
  from_b(tcp_b(kFin | kAck));
  rig.events();
  from_a(tcp_a(kFin | kAck));

  const flow_event event = only();
  EXPECT_EQ(event.kind, EVENT_FLOW_CLOSE);
  EXPECT_FALSE(event.is_reply);
  EXPECT_EQ(event.ct_state, CT_STATE_CLOSED);
  EXPECT_EQ(event.packets[CT_FROM_OPENER], 2U);
  EXPECT_EQ(event.packets[CT_FROM_REPLIER], 2U);
  from_b(tcp_b(kAck));
  from_b(tcp_b(kRst));
  nothing();
}

TEST_P(FlowEvents, S31_AResetIsAClose) {
  from_a(tcp_a(kSyn));
  only();
  from_b(tcp_b(kRst));

  const flow_event event = only();
  EXPECT_EQ(event.kind, EVENT_FLOW_CLOSE);
  EXPECT_TRUE(event.is_reply);
}

TEST_P(FlowEvents, S31_ATupleUsedAgainIsAnotherOpen) {
  from_a(tcp_a(kSyn));
  from_b(tcp_b(kRst));
  rig.events();
  from_a(tcp_a(kSyn));

  const flow_event event = only();
  EXPECT_EQ(event.kind, EVENT_FLOW_OPEN);
  EXPECT_EQ(event.packets[CT_FROM_OPENER], 1U);
  EXPECT_EQ(event.packets[CT_FROM_REPLIER], 0U);
}

TEST_P(FlowEvents, AFlowThatGoesOnReportsItsCountersNowAndThen) {
  from_a(tcp_a(kSyn));
  from_b(tcp_b(kSyn | kAck));
  rig.events();
  const ct_key key = flow_key(Ip{.src = w.pod_a, .dst = w.pod_b}, kProtoTcp, 1000, 80);
  ct_entry entry = rig.get<ct_entry>("sl_ct", key).value();
  entry.reported_ns -= FLOW_REPORT_INTERVAL_NS;
  rig.put("sl_ct", key, entry);

  from_a(tcp_a(kAck));
  EXPECT_EQ(only().kind, EVENT_FLOW_UPDATE);
  from_a(tcp_a(kAck));
  nothing();
}

TEST_P(FlowEvents, FlowsThatTheHostAndTheWireOpenAreToldAtTheirHooks) {
  to_a(frame(kToA, Ip{.src = w.node, .dst = w.pod_a}, Udp{.sport = 1, .dport = 2}));
  const flow_event host = only();
  from_wire(frame(kFromWire, Ip{.src = w.native, .dst = w.pod_a}, Udp{.sport = 1, .dport = 2}));
  const flow_event wire = only();

  EXPECT_EQ(host.kind, EVENT_FLOW_OPEN);
  EXPECT_EQ(host.hook, HOOK_POD_INGRESS);
  EXPECT_EQ(host.src_identity, uint32_t{IDENTITY_HOST});
  EXPECT_EQ(host.dst_identity, kIdentityA);
  EXPECT_TRUE(host.ct_flags & CT_HOST);
  EXPECT_EQ(wire.kind, EVENT_FLOW_OPEN);
  EXPECT_EQ(wire.hook, HOOK_UPLINK_INGRESS);
  EXPECT_EQ(wire.ifindex, devices.uplink);
  EXPECT_EQ(wire.src_identity, kIdentityRemote);
  EXPECT_EQ(wire.dst_identity, kIdentityA);
}

TEST_P(FlowEvents, AnAnswerThatComesBackTranslatedIsToldWithThePodsAddress) {
  const Ip out = {.src = w.pod_a, .dst = w.outside};
  const Outcome sent = out_from_a(frame(kFromA, out, Udp{.sport = 1000, .dport = 53}));
  rig.events();
  from_wire(frame(kFromWire, Ip{.src = w.outside, .dst = w.node},
                  Udp{.sport = 53, .dport = read_frame(sent.out).sport}));

  const flow_event event = only();
  EXPECT_EQ(event.kind, EVENT_FLOW_UPDATE);
  EXPECT_TRUE(event.is_reply);
  EXPECT_TRUE(is(event.dst, w.pod_a));
  EXPECT_EQ(ntohs(event.dport_be), 1000);
  EXPECT_EQ(event.src_identity, uint32_t{IDENTITY_WORLD});
}

// Rigs of their own: without events, and with a ring of one page.
class Ring : public testing::Test {
 protected:
  const World& w = world(Family::kIpv4);
  static int send(Rig& rig, const Address& src, const Address& dst, uint16_t port) {
    return rig
        .run(Program::kPodEgress,
             frame(kFromA, Ip{.src = src, .dst = dst}, Udp{.sport = port, .dport = 2}),
             network().devices.pod_a)
        .verdict;
  }
};

TEST_F(Ring, NothingIsToldWhereEventsAreOffAndEverythingIsCounted) {
  network();
  RigOptions options;
  options.config.events = 0;
  Rig rig(options);
  fill(rig);

  EXPECT_EQ(send(rig, w.pod_a, w.pod_b, 1), kRedirect);
  EXPECT_EQ(send(rig, w.spoofed, w.pod_b, 1), kShot);

  EXPECT_TRUE(rig.events().empty());
  EXPECT_EQ(rig.event_loss(EVENT_FLOW_OPEN) + rig.event_loss(EVENT_DROP), 0U);
  EXPECT_EQ(rig.drops(network().devices.pod_a, HOOK_POD_EGRESS, DROP_SPOOFED_SOURCE).packets, 1U);
}

TEST_F(Ring, AFullRingLosesTheRecordCountsItAndNeverThePacket) {
  constexpr uint16_t kFlows = 64;
  network();
  Rig rig(RigOptions{.max_entries = {{"sl_events", 4096}}});
  fill(rig);

  for (uint16_t port = 1; port <= kFlows; port++)
    EXPECT_EQ(send(rig, w.pod_a, w.pod_b, port), kRedirect) << port;
  for (uint16_t port = 1; port <= 3; port++) EXPECT_EQ(send(rig, w.spoofed, w.pod_b, port), kShot);

  EXPECT_EQ(rig.event_loss(EVENT_DROP), 3U);
  const uint64_t lost = rig.event_loss(EVENT_FLOW_OPEN);
  EXPECT_GT(lost, 0U);
  EXPECT_EQ(rig.events().size() + lost, kFlows);
  EXPECT_EQ(send(rig, w.pod_a, w.pod_b, kFlows + 1), kRedirect);
  EXPECT_EQ(rig.events().size(), 1U) << "there is room again";
}

}  // namespace
}  // namespace sluice::test
