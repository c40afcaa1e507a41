// SPDX-License-Identifier: Apache-2.0
// pod_egress and uplink_ingress: conntrack, policy and delivery of a pod's flows.
#include <arpa/inet.h>

#include "tests/prog/fixture.h"

namespace sluice::test {
namespace {

class Flows : public BothFamilies {
 protected:
  Ip between(const Address& src, const Address& dst, uint8_t ttl = 64) {
    return {.src = src, .dst = dst, .ttl = ttl};
  }
  Bytes tcp_a(const Address& dst, uint8_t flags) {
    return frame(kFromA, between(w.pod_a, dst), Tcp{.sport = 1000, .dport = 80, .flags = flags});
  }
  Bytes tcp_b(uint8_t flags) {
    return frame(kFromB, between(w.pod_b, w.pod_a),
                 Tcp{.sport = 80, .dport = 1000, .flags = flags});
  }
  std::optional<ct_entry> tcp_flow() {
    return flow(between(w.pod_a, w.pod_b), kProtoTcp, 1000, 80);
  }
};
IN_BOTH_FAMILIES(Flows);

TEST_P(Flows, ALocalPodGetsItsOwnMacsAndOneHopLess) {
  const Outcome outcome = from_a(tcp_a(w.pod_b, kSyn));

  Bytes wanted = frame(Ethernet{.dst = kPodMacB, .src = kHostMacB}, between(w.pod_a, w.pod_b, 63),
                       Tcp{.sport = 1000, .dport = 80});
  EXPECT_EQ(outcome.verdict, kRedirect);
  EXPECT_EQ(outcome.out, wanted);
  EXPECT_EQ(tcp_flow()->replier_ifindex, devices.pod_b);
}

TEST_P(Flows, TheOpenerIsKnownWhicheverAddressIsLower) {
  from_b(frame(kFromB, between(w.pod_b, w.pod_a), Tcp{.sport = 80, .dport = 1000}));
  from_a(tcp_a(w.pod_b, kSyn | kAck));

  const ct_entry entry = tcp_flow().value();
  EXPECT_EQ(entry.opener_ifindex, devices.pod_b);
  EXPECT_EQ(entry.opener_identity, kIdentityB);
  EXPECT_EQ(entry.packets[CT_FROM_OPENER], 1U);
  EXPECT_EQ(entry.packets[CT_FROM_REPLIER], 1U);
}

TEST_P(Flows, S31_TcpGoesFromHandshakeToCloseAndATupleIsUsedAgain) {
  from_a(tcp_a(w.pod_b, kSyn));
  EXPECT_EQ(tcp_flow()->state, CT_STATE_NEW);
  from_b(tcp_b(kSyn | kAck));
  EXPECT_EQ(tcp_flow()->state, CT_STATE_ESTABLISHED);
  from_a(tcp_a(w.pod_b, kFin | kAck));
  EXPECT_EQ(tcp_flow()->state, CT_STATE_CLOSING);
  from_b(tcp_b(kFin | kAck));
  EXPECT_EQ(tcp_flow()->state, CT_STATE_CLOSED);
  from_a(tcp_a(w.pod_b, kSyn));
  EXPECT_EQ(tcp_flow()->state, CT_STATE_NEW);
  from_b(tcp_b(kRst));
  EXPECT_EQ(tcp_flow()->state, CT_STATE_CLOSED);
}

TEST_P(Flows, N14_ATcpFlowMetInTheMiddleIsPickedUp) {
  EXPECT_EQ(from_a(tcp_a(w.pod_b, kAck)).verdict, kRedirect);

  EXPECT_TRUE(tcp_flow()->flags & CT_PICKED_UP);
  from_b(tcp_b(kAck));
  EXPECT_EQ(tcp_flow()->state, CT_STATE_ESTABLISHED);
}

// Else a pod could hold the whole table for an hour with packets to nobody.
TEST_P(Flows, S30_ATcpFlowMetInTheMiddleIsNewUntilItIsAnswered) {
  from_a(tcp_a(w.pod_b, kAck));
  from_a(tcp_a(w.pod_b, kAck));

  EXPECT_EQ(tcp_flow()->state, CT_STATE_NEW);
}

TEST_P(Flows, AnEchoAndItsReplyAreOneFlow) {
  from_a(frame(kFromA, between(w.pod_a, w.pod_b), echo_request(is_v6, 77)));
  from_b(frame(kFromB, between(w.pod_b, w.pod_a), echo_reply(is_v6, 77)));

  const ct_entry entry = flow(between(w.pod_a, w.pod_b), w.icmp(), 77, 0).value();
  EXPECT_EQ(entry.packets[CT_FROM_REPLIER], 1U);
  EXPECT_EQ(rig.keys<ct_key>("sl_ct").size(), 1U);
}

TEST_P(Flows, TheLastHopIsLeftToTheStackUnchanged) {
  const Bytes last = frame(kFromA, between(w.pod_a, w.pod_b, 1), Udp{.sport = 1, .dport = 2});

  const Outcome outcome = from_a(last);

  EXPECT_EQ(outcome.verdict, kNext);
  EXPECT_EQ(outcome.out, last);
}

TEST_P(Flows, ThisNodeIsReachedThroughTheStackAPodOfAnotherByRouteOrTunnel) {
  EXPECT_EQ(from_a(tcp_a(w.node, kSyn)).verdict, kNext);
  const Outcome native = from_a(tcp_a(w.native, kSyn));
  EXPECT_EQ(native.verdict, kRedirect);
  EXPECT_EQ(native.mark, 0U);
  const Outcome tunnel = from_a(tcp_a(w.tunnelled, kSyn));
  EXPECT_EQ(tunnel.verdict, kRedirect);
  EXPECT_EQ(tunnel.mark, MARK_TUNNELLED);
  EXPECT_EQ(from_a(tcp_a(w.unreachable, kSyn)).verdict, kNext);
  expect_drop(from_a(tcp_a(w.blackhole, kSyn)), devices.pod_a, HOOK_POD_EGRESS, DROP_NO_ROUTE);
}

TEST_P(Flows, ATunnelWithoutADeviceIsADropNotALostRedirect) {
  node_row node = node_settings();
  node.overlay_ifindex = 0;
  rig.put("sl_node", uint32_t{0}, node);

  expect_drop(from_a(tcp_a(w.tunnelled, kSyn)), devices.pod_a, HOOK_POD_EGRESS, DROP_TUNNEL_FAILED);
}

TEST_P(Flows, AnIsolatedPodIsRefusedAndANewRevisionDecidesAgain) {
  EXPECT_EQ(from_a(tcp_a(w.pod_b, kSyn)).verdict, kRedirect);
  isolate(devices.pod_b, ENDPOINT_ISOLATED_INGRESS);
  EXPECT_EQ(from_a(tcp_a(w.pod_b, kAck)).verdict, kRedirect) << "same revision: verdict is stored";

  bump_policy_revision();

  expect_drop(from_a(tcp_a(w.pod_b, kAck)), devices.pod_a, HOOK_POD_EGRESS, DROP_POLICY_DENY);
}

TEST_P(Flows, AnAttemptThatNobodyAnsweredGoesTheWayThatANewRevisionKnows) {
  from_a(tcp_a(w.outside, kSyn));
  EXPECT_TRUE(flow(between(w.pod_a, w.outside), kProtoTcp, 1000, 80)->flags & CT_TRANSLATE);
  identity_row pod = {};
  pod.identity = kIdentityB;
  pod.flags = ADDRESS_LOCAL_POD;
  pod.ifindex = devices.pod_b;
  put_identity(rig, host_prefix(w.outside), pod);

  bump_policy_revision();

  EXPECT_EQ(from_a(tcp_a(w.outside, kSyn)).verdict, kRedirect);
  const ct_entry entry = flow(between(w.pod_a, w.outside), kProtoTcp, 1000, 80).value();
  EXPECT_EQ(entry.flags & CT_TRANSLATE, 0);
  EXPECT_EQ(entry.replier_ifindex, devices.pod_b);
}

TEST_P(Flows, AnUnansweredFlowThatGoesWhereItWentKeepsItsRow) {
  const Bytes one_way = frame(kFromA, between(w.pod_a, w.outside), Udp{.sport = 7, .dport = 514});
  from_a(one_way);

  bump_policy_revision();
  from_a(one_way);

  EXPECT_EQ(flow(between(w.pod_a, w.outside), kProtoUdp, 7, 514)->packets[CT_FROM_OPENER], 2U);
}

TEST_P(Flows, P7_TheNodeReachesAnIsolatedPodOthersDoNot) {
  isolate(devices.pod_a, ENDPOINT_ISOLATED_INGRESS);
  const Ethernet to = {.dst = kPodMacA, .src = kHostMacA};

  EXPECT_EQ(to_a(frame(to, between(w.node, w.pod_a), Tcp{.sport = 5, .dport = 6})).verdict, kNext);
  expect_drop(to_a(frame(to, between(w.outside, w.pod_a), Tcp{.sport = 5, .dport = 6})),
              devices.pod_a, HOOK_POD_INGRESS, DROP_POLICY_DENY);
}

TEST_P(Flows, P10_AnIsolatedPodCannotHideDataInAnErrorAboutAnotherFlow) {
  from_b(frame(kFromB, between(w.pod_b, w.native), Udp{.sport = 9, .dport = 53}));
  isolate(devices.pod_a, ENDPOINT_ISOLATED_EGRESS);
  const Bytes quote = packet(between(w.pod_b, w.native), Udp{.sport = 9, .dport = 53});

  const Outcome outcome = from_a(
      frame(kFromA, between(w.pod_a, w.outside), icmp_error(is_v6, ErrorKind::kTooBig, quote)));

  expect_drop(outcome, devices.pod_a, HOOK_POD_EGRESS, DROP_INVALID_PACKET);
}

TEST_P(Flows, P9_AnErrorAboutAPacketThatThePodReceivedPasses) {
  from_b(frame(kFromB, between(w.pod_b, w.pod_a), Udp{.sport = 9, .dport = 53}));
  isolate(devices.pod_a, ENDPOINT_ISOLATED_EGRESS);
  const Bytes quote = packet(between(w.pod_b, w.pod_a), Udp{.sport = 9, .dport = 53});

  const Outcome outcome = from_a(
      frame(kFromA, between(w.pod_a, w.pod_b), icmp_error(is_v6, ErrorKind::kUnreachable, quote)));

  EXPECT_EQ(outcome.verdict, kRedirect);
}

TEST_P(Flows, P12_ANewPodOnAnOldAddressDoesNotInheritItsFlows) {
  from_a(tcp_a(w.native, kSyn));
  rig.erase("sl_endpoint", devices.pod_a);
  rig.put("sl_endpoint", devices.stranger, endpoint_a());
  isolate(devices.stranger, ENDPOINT_ISOLATED_EGRESS);

  const Outcome outcome = run(Program::kPodEgress, tcp_a(w.native, kAck), devices.stranger);

  expect_drop(outcome, devices.stranger, HOOK_POD_EGRESS, DROP_POLICY_DENY);
}

TEST_P(Flows, ALocalSourceFromTheWireIsSpoofedInANewFlowAndInAnOpenOne) {
  const Bytes forged =
      frame(kFromWire, between(w.pod_a, w.pod_b), Tcp{.sport = 1000, .dport = 80, .flags = kAck});
  EXPECT_EQ(from_wire(forged).verdict, kShot);
  from_a(tcp_a(w.pod_b, kSyn));

  EXPECT_EQ(from_wire(forged).verdict, kShot);

  EXPECT_EQ(rig.drops(devices.uplink, HOOK_UPLINK_INGRESS, DROP_SPOOFED_SOURCE).packets, 2U);
}

TEST_P(Flows, APodIsReachedFromTheWireAndTheHostsTrafficIsUntouched) {
  const Outcome pod =
      from_wire(frame(kFromWire, between(w.native, w.pod_a), Tcp{.sport = 7, .dport = 8}));
  const Bytes host = frame(kFromWire, between(w.outside, w.node), Tcp{.sport = 7, .dport = 22});
  const Outcome left = from_wire(host);

  EXPECT_EQ(pod.verdict, kRedirect);
  EXPECT_EQ(read_frame(pod.out).dst_mac, kPodMacA);
  EXPECT_EQ(left.verdict, kNext);
  EXPECT_EQ(left.out, host);
  EXPECT_EQ(rig.keys<ct_key>("sl_ct").size(), 1U);
}

TEST_P(Flows, P21_LaterFragmentsFollowTheFirstAndAreRefusedWithoutIt) {
  const Bytes whole = frame(kFromA, between(w.pod_a, w.pod_b),
                            Udp{.sport = 5, .dport = 6, .payload = Bytes(64, 1)});
  const std::vector<Bytes> parts = fragments(whole, 32, 99);

  expect_drop(from_a(parts[1]), devices.pod_a, HOOK_POD_EGRESS, DROP_FRAGMENT_UNKNOWN);
  EXPECT_EQ(from_a(parts[0]).verdict, kRedirect);
  EXPECT_EQ(from_a(parts[1]).verdict, kRedirect);
  EXPECT_EQ(rig.keys<ct_key>("sl_ct").size(), 1U);
}

TEST_P(Flows, ACutPacketNeverLeavesAndIsTheHostsOnTheWire) {
  const Transport all[] = {
      Tcp{}, Udp{}, echo_request(is_v6, 1), Sctp{},
      icmp_error(is_v6, ErrorKind::kUnreachable, packet(between(w.pod_b, w.pod_a), Udp{}))};
  for (const Transport& one : all) {
    const Bytes sent = frame(kFromA, between(w.pod_a, w.pod_b), one);
    const Bytes received = frame(kFromWire, between(w.outside, w.pod_a), one);
    for (size_t length = kEthernetBytes + 1; length < sent.size(); length++) {
      const Outcome cut = rig.run(Program::kPodEgress, truncated(sent, length), devices.pod_a);
      EXPECT_TRUE(cut.error != 0 || cut.verdict == kShot) << length;
      const Outcome host =
          rig.run(Program::kUplinkIngress, truncated(received, length), devices.uplink);
      EXPECT_TRUE(host.error != 0 || host.verdict == kNext) << length;
    }
  }
}

TEST_P(Flows, ATransportHeaderInThePaddingIsNoHeader) {
  Bytes padded = shortened(frame(kFromA, between(w.pod_a, w.pod_b), Udp{}), is_v6 ? 54 : 34);
  padded.resize(80);

  expect_drop(from_a(padded), devices.pod_a, HOOK_POD_EGRESS, DROP_INVALID_PACKET);
}

}  // namespace
}  // namespace sluice::test
