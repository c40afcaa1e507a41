// SPDX-License-Identifier: Apache-2.0
// pod_ingress: what the host's stack hands to a pod's device.
#include "tests/prog/fixture.h"

namespace sluice::test {
namespace {

class PodIngress : public BothFamilies {
 protected:
  Bytes to(const Address& src, const Address& dst, const Transport& transport) {
    return frame(kToA, Ip{.src = src, .dst = dst}, transport);
  }
};
IN_BOTH_FAMILIES(PodIngress);

TEST_P(PodIngress, AnAddressThatIsNotThePodsIsDropped) {
  for (const Address& dst : {w.pod_b, w.outside, w.node}) to_a(to(w.node, dst, Udp{1, 2}));

  EXPECT_EQ(rig.drops(devices.pod_a, HOOK_POD_INGRESS, DROP_NOT_FOR_POD).packets, 3U);
  EXPECT_TRUE(rig.keys<ct_key>("sl_ct").empty());
}

TEST_P(PodIngress, N10_ADeviceWithoutPodTakesNothingNotEvenArp) {
  const World& v4 = world(Family::kIpv4);
  const Bytes all[] = {to(w.node, w.pod_a, Udp{1, 2}), to(w.node, w.pod_a, echo_request(is_v6, 1)),
                       frame(kToA, Arp{.sender = v4.node, .target = v4.pod_a})};
  for (const Bytes& one : all)
    EXPECT_EQ(run(Program::kPodIngress, one, devices.stranger).verdict, kShot);

  EXPECT_EQ(rig.drops(devices.stranger, HOOK_POD_INGRESS, DROP_NO_ENDPOINT).packets, 3U);
}

TEST_P(PodIngress, N10_APodsFirstPacketsBeforeItsRowAreDroppedWhateverTheyAre) {
  const World& v4 = world(Family::kIpv4);
  const Bytes all[] = {
      frame(kFromA, Ip{.src = w.pod_a, .dst = w.pod_b}, Udp{1, 2}),
      frame(kFromA, Ip{.src = w.pod_a, .dst = is_v6 ? addr("ff02::1") : addr("224.0.0.1")},
            Udp{1, 2}),
      frame(kFromA, Arp{.sender = v4.pod_a, .target = v4.gateway})};
  for (const Bytes& one : all)
    EXPECT_EQ(run(Program::kPodEgress, one, devices.stranger).verdict, kShot);

  EXPECT_EQ(rig.drops(devices.stranger, HOOK_POD_EGRESS, DROP_NO_ENDPOINT).packets, 3U);
}

TEST_P(PodIngress, P7_TheNodeReachesAnIsolatedPodAndItsAnswersPass) {
  isolate(devices.pod_a, ENDPOINT_ISOLATED_INGRESS | ENDPOINT_ISOLATED_EGRESS);

  EXPECT_EQ(to_a(to(w.node, w.pod_a, Tcp{.sport = 5, .dport = 80})).verdict, kNext);
  EXPECT_EQ(to_a(to(w.node, w.pod_a, echo_request(is_v6, 9))).verdict, kNext);
  EXPECT_EQ(from_a(frame(kFromA, Ip{.src = w.pod_a, .dst = w.node},
                         Tcp{.sport = 80, .dport = 5, .flags = kSyn | kAck}))
                .verdict,
            kNext);
  EXPECT_EQ(from_a(frame(kFromA, Ip{.src = w.pod_a, .dst = w.node}, echo_reply(is_v6, 9))).verdict,
            kNext);
  EXPECT_EQ(flow(Ip{.src = w.node, .dst = w.pod_a}, kProtoTcp, 5, 80)->state, CT_STATE_ESTABLISHED);
}

TEST_P(PodIngress, P7_OthersDoNotReachAnIsolatedPodThroughTheStack) {
  isolate(devices.pod_a, ENDPOINT_ISOLATED_INGRESS);

  for (const Address& src : {w.outside, w.native, w.tunnelled, w.pod_b})
    EXPECT_EQ(to_a(to(src, w.pod_a, Udp{1, 2})).verdict, kShot);
  EXPECT_EQ(rig.drops(devices.pod_a, HOOK_POD_INGRESS, DROP_POLICY_DENY).packets, 4U);
}

TEST_P(PodIngress, P9_AnswersOfAFlowThatTheIsolatedPodOpenedPass) {
  from_a(frame(kFromA, Ip{.src = w.pod_a, .dst = w.native}, Udp{1000, 53}));
  isolate(devices.pod_a, ENDPOINT_ISOLATED_INGRESS);
  bump_policy_revision();

  EXPECT_EQ(to_a(to(w.native, w.pod_a, Udp{53, 1000})).verdict, kNext);
}

TEST_P(PodIngress, ANewRevisionDecidesAnOpenFlowAgain) {
  EXPECT_EQ(to_a(to(w.native, w.pod_a, Udp{1, 2})).verdict, kNext);
  isolate(devices.pod_a, ENDPOINT_ISOLATED_INGRESS);
  EXPECT_EQ(to_a(to(w.native, w.pod_a, Udp{1, 2})).verdict, kNext) << "the same revision";
  bump_policy_revision();

  expect_drop(to_a(to(w.native, w.pod_a, Udp{1, 2})), devices.pod_a, HOOK_POD_INGRESS,
              DROP_POLICY_DENY);
}

TEST_P(PodIngress, N8_AnAnswerGoesBackThroughTheStackThatSentTheQuestion) {
  for (const Address& src : {w.outside, w.native, w.tunnelled, w.pod_b, w.node}) {
    EXPECT_EQ(to_a(to(src, w.pod_a, Tcp{.sport = 5, .dport = 80})).verdict, kNext);
    const Outcome answer = from_a(frame(kFromA, Ip{.src = w.pod_a, .dst = src},
                                        Tcp{.sport = 80, .dport = 5, .flags = kSyn | kAck}));
    EXPECT_EQ(answer.verdict, kNext);
    EXPECT_EQ(answer.mark, 0U);
  }
}

TEST_P(PodIngress, NobodyOutsideSpeaksOnAFlowThatTheStackOpenedForAPodOrTheNode) {
  for (const Address& src : {w.pod_b, w.node}) {
    const Tcp segment{.sport = 5, .dport = 80};
    EXPECT_EQ(to_a(to(src, w.pod_a, segment)).verdict, kNext);

    expect_drop(from_wire(frame(kFromWire, Ip{.src = src, .dst = w.pod_a}, segment)),
                devices.uplink, HOOK_UPLINK_INGRESS, DROP_SPOOFED_SOURCE);
    rig.clear();
    fill(rig);
  }
}

TEST_P(PodIngress, FragmentsOfOneDatagramAreOneFlow) {
  const std::vector<Bytes> parts = fragments(to(w.node, w.pod_a, Udp{5, 6, Bytes(64)}), 32, 3);

  EXPECT_EQ(to_a(parts[0]).verdict, kNext);
  EXPECT_EQ(to_a(parts[1]).verdict, kNext);
  EXPECT_EQ(rig.keys<ct_key>("sl_ct").size(), 1U);
}

TEST_P(PodIngress, WhatTheStackHandsOverLeavesAsItIs) {
  const Bytes all[] = {to(w.node, w.pod_a, Tcp{}), to(w.native, w.pod_a, Udp{}),
                       to(w.node, w.pod_a, Raw{})};
  for (const Bytes& one : all) EXPECT_EQ(to_a(one).out, one);
}

class PodIngressLink : public ProgTest {
 protected:
  const World& w = world(Family::kIpv6);
};

TEST_F(PodIngressLink, P19_LinkControlReachesAnIsolatedPod) {
  isolate(devices.pod_a, ENDPOINT_ISOLATED_INGRESS);
  const Address all_nodes = addr("ff02::1");
  const Ip near = {.src = w.gateway, .dst = addr("fe80::10"), .ttl = 255};
  const Ip own = {.src = w.gateway, .dst = w.pod_a, .ttl = 255};
  const Ip everyone = {.src = w.gateway, .dst = all_nodes, .ttl = 255};
  const Bytes all[] = {
      frame(kToA, own, neighbour_solicitation(w.pod_a, kHostMacA)),
      frame(kToA, own, neighbour_advertisement(w.gateway, kHostMacA)),
      frame(kToA, near, neighbour_solicitation(addr("fe80::10"), kHostMacA)),
      frame(kToA, everyone, Icmp{.type = 134, .payload = Bytes(8)}),
      frame(kToA, everyone, Icmp{.type = 130, .payload = Bytes(20)}),
      frame(kToA, Arp{.sender = world(Family::kIpv4).node, .target = world(Family::kIpv4).pod_a})};
  for (const Bytes& one : all) EXPECT_EQ(to_a(one).verdict, kNext);
  EXPECT_TRUE(rig.keys<ct_key>("sl_ct").empty());
}

}  // namespace
}  // namespace sluice::test
