// SPDX-License-Identifier: Apache-2.0
// pod_egress and the pod's link: the gateway's ARP and NDP, who may send, what a link says of
// itself.
#include "tests/prog/fixture.h"

namespace sluice::test {
namespace {

const Mac kBroadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
const Mac kNobody = {};

class Arps : public ProgTest {
 protected:
  const World& w = world(Family::kIpv4);
  Arp ask(const Address& target) {
    return {.sender_mac = kPodMacA, .sender = w.pod_a, .target = target};
  }
  Bytes asked(const Arp& arp) { return frame(Ethernet{.dst = kBroadcast, .src = kPodMacA}, arp); }
};

TEST_F(Arps, N15_AnswersForTheGatewayByteForByte) {
  const Outcome outcome = from_a(asked(ask(w.gateway)));

  EXPECT_EQ(outcome.verdict, kRedirect);
  EXPECT_EQ(outcome.out, frame(kToA, Arp{.operation = 2,
                                         .sender_mac = kHostMacA,
                                         .sender = w.gateway,
                                         .target_mac = kPodMacA,
                                         .target = w.pod_a}));
}

TEST_F(Arps, N15_AnswersAFramePaddedToTheEthernetMinimum) {
  Bytes request = asked(ask(w.gateway));
  request.resize(60);

  EXPECT_EQ(from_a(request).verdict, kRedirect);
}

TEST_F(Arps, N15_AnswersForNoOtherAddress) {
  expect_drop(from_a(asked(ask(w.pod_b))), devices.pod_a, HOOK_POD_EGRESS, DROP_NOT_THE_GATEWAY);
}

TEST_F(Arps, ASpoofedSenderIsDropped) {
  Arp arp = ask(w.gateway);
  arp.sender = w.spoofed;

  expect_drop(from_a(asked(arp)), devices.pod_a, HOOK_POD_EGRESS, DROP_SPOOFED_SOURCE);
  const std::vector<flow_event> told = rig.events();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].src.words_be[3], to_abi(w.spoofed).words_be[3]) << "who it claimed to be";
  EXPECT_EQ(told[0].dst.words_be[3], to_abi(w.gateway).words_be[3]);
}

TEST_F(Arps, TheAnswerToTheHostPasses) {
  const Arp arp = {.operation = 2,
                   .sender_mac = kPodMacA,
                   .sender = w.pod_a,
                   .target_mac = kHostMacA,
                   .target = w.node};

  EXPECT_EQ(from_a(frame(kFromA, arp)).verdict, kNext);
}

TEST_F(Arps, AnAnswerFromNobodyIsInvalid) {
  const Arp arp = {.operation = 2, .sender_mac = kPodMacA, .target = w.node};

  expect_drop(from_a(frame(kFromA, arp)), devices.pod_a, HOOK_POD_EGRESS, DROP_INVALID_PACKET);
}

TEST_F(Arps, AnUnknownOperationIsInvalid) {
  Arp arp = ask(w.gateway);
  arp.operation = 3;

  expect_drop(from_a(asked(arp)), devices.pod_a, HOOK_POD_EGRESS, DROP_INVALID_PACKET);
}

TEST_F(Arps, HardwareAndProtocolMustBeEthernetAndIpv4) {
  for (const size_t field : {14U, 16U, 18U, 19U}) {
    Bytes request = asked(ask(w.gateway));
    request[field] ^= 0x55;
    EXPECT_EQ(from_a(request).verdict, kShot) << "byte " << field;
  }
}

class Ndp : public ProgTest {
 protected:
  const World& w = world(Family::kIpv6);
  Bytes solicit(const Address& src, const Address& target, uint8_t hops = 255) {
    return frame(kFromA, Ip{.src = src, .dst = solicited_node(target), .ttl = hops},
                 neighbour_solicitation(target, kPodMacA));
  }
};

TEST_F(Ndp, N15_AnswersForTheGatewayByteForByte) {
  const Outcome outcome = from_a(solicit(w.pod_a, w.gateway));

  Icmp answer = neighbour_advertisement(w.gateway, kHostMacA);
  answer.rest = 0xe0000000;
  EXPECT_EQ(outcome.verdict, kRedirect);
  EXPECT_EQ(outcome.out, frame(kToA, Ip{.src = w.gateway, .dst = w.pod_a, .ttl = 255}, answer));
}

TEST_F(Ndp, N15_AnswersTheLinkLocalAddressOfThePod) {
  EXPECT_EQ(from_a(solicit(kLinkLocalA, w.gateway)).verdict, kRedirect);
}

TEST_F(Ndp, N15_AnswersASolicitationWithoutALinkAddressOrWithMoreOptions) {
  Icmp bare = neighbour_solicitation(w.gateway, kPodMacA);
  bare.payload.resize(16);
  Icmp more = neighbour_solicitation(w.gateway, kPodMacA);
  append(more.payload, {14, 1, 1, 2, 3, 4, 5, 6});  // a nonce, RFC 7527
  const Ip ip = {.src = w.pod_a, .dst = w.gateway, .ttl = 255};

  const Outcome first = from_a(frame(kFromA, ip, bare));
  const Outcome second = from_a(frame(kFromA, ip, more));

  EXPECT_EQ(first.verdict, kRedirect);
  EXPECT_EQ(second.verdict, kRedirect);
  EXPECT_EQ(first.out, second.out);
}

TEST_F(Ndp, N15_AnswersForNoOtherAddress) {
  expect_drop(from_a(solicit(w.pod_a, w.pod_b)), devices.pod_a, HOOK_POD_EGRESS,
              DROP_NOT_THE_GATEWAY);
}

TEST_F(Ndp, AHopLimitBelow255IsInvalid) {
  expect_drop(from_a(solicit(w.pod_a, w.gateway, 254)), devices.pod_a, HOOK_POD_EGRESS,
              DROP_INVALID_PACKET);
}

TEST_F(Ndp, AnAdvertisementForAForeignAddressIsDropped) {
  const Bytes claim = frame(kFromA, Ip{.src = w.pod_a, .dst = addr("ff02::1"), .ttl = 255},
                            neighbour_advertisement(w.pod_b, kPodMacA));

  expect_drop(from_a(claim), devices.pod_a, HOOK_POD_EGRESS, DROP_NOT_THE_GATEWAY);
}

TEST_F(Ndp, N15_ThePodCannotAnnounceItselfAsTheGateway) {
  const Bytes claim = frame(kFromA, Ip{.src = w.pod_a, .dst = addr("ff02::1"), .ttl = 255},
                            neighbour_advertisement(w.gateway, kPodMacA));

  expect_drop(from_a(claim), devices.pod_a, HOOK_POD_EGRESS, DROP_NOT_THE_GATEWAY);
}

TEST_F(Ndp, P19_AnAdvertisementForTheOwnAddressPasses) {
  const Bytes mine = frame(kFromA, Ip{.src = w.pod_a, .dst = addr("fe80::99"), .ttl = 255},
                           neighbour_advertisement(w.pod_a, kPodMacA));

  EXPECT_EQ(from_a(mine).verdict, kNext);
}

TEST_F(Ndp, P19_DuplicateAddressDetectionPasses) {
  EXPECT_EQ(from_a(solicit(addr("::"), w.pod_a)).verdict, kNext);
}

TEST_F(Ndp, P19_RouterSolicitationAndMldPassAnIsolatedPod) {
  isolate(devices.pod_a, ENDPOINT_ISOLATED_EGRESS | ENDPOINT_ISOLATED_INGRESS);
  const Ip routers = {.src = kLinkLocalA, .dst = addr("ff02::2"), .ttl = 255};
  const Ip listeners = {.src = kLinkLocalA,
                        .dst = addr("ff02::16"),
                        .ttl = 1,
                        .extensions = {{.type = kExtHopByHop, .body = {5, 2, 0, 0}}}};
  const Ip unspecified = {.src = addr("::"), .dst = addr("ff02::16"), .ttl = 1};

  EXPECT_EQ(from_a(frame(kFromA, routers, router_solicitation())).verdict, kNext);
  EXPECT_EQ(from_a(frame(kFromA, listeners, mld_report())).verdict, kNext);
  EXPECT_EQ(from_a(frame(kFromA, unspecified, mld_report())).verdict, kNext);
}

TEST_F(Ndp, N15_ASolicitationFromAnInventedSourceDoesNotReachTheStack) {
  const char* const invented[] = {"fe80::1", "fe80::10", "2001:db8::66"};
  for (const char* source : invented)
    EXPECT_EQ(from_a(solicit(addr(source), addr("fe80::99"))).verdict, kShot) << source;

  EXPECT_EQ(rig.drops(devices.pod_a, HOOK_POD_EGRESS, DROP_SPOOFED_SOURCE).packets, 3U);
  EXPECT_EQ(from_a(solicit(kLinkLocalA, addr("fe80::99"))).verdict, kNext);
}

class Source : public BothFamilies {};
IN_BOTH_FAMILIES(Source);

TEST_P(Source, AForeignAddressIsDropped) {
  const Bytes spoofed =
      frame(kFromA, Ip{.src = w.pod_b, .dst = w.native}, Udp{.sport = 1000, .dport = 53});

  expect_drop(from_a(spoofed), devices.pod_a, HOOK_POD_EGRESS, DROP_SPOOFED_SOURCE);
}

TEST_P(Source, APodWithoutThisFamilyCannotUseIt) {
  endpoint_row row = endpoint_a();
  (is_v6 ? row.ipv6 : row.ipv4) = {};
  rig.put("sl_endpoint", devices.pod_a, row);
  const Address none = is_v6 ? addr("::") : addr("0.0.0.0");

  EXPECT_EQ(from_a(frame(kFromA, Ip{.src = w.pod_a, .dst = w.native}, Udp{})).verdict, kShot);
  EXPECT_EQ(from_a(frame(kFromA, Ip{.src = none, .dst = w.native}, Udp{})).verdict, kShot);
}

TEST_P(Source, MulticastStaysWithTheHost) {
  const Ip ip = {.src = w.pod_a, .dst = is_v6 ? addr("ff02::fb") : addr("224.0.0.251")};

  EXPECT_EQ(from_a(frame(kFromA, ip, Udp{.sport = 5353, .dport = 5353})).verdict, kNext);
  EXPECT_TRUE(rig.keys<ct_key>("sl_ct").empty());
}

using Ipv6Source = Ndp;

TEST_F(Ipv6Source, ALinkLocalAddressReachesOnlyItsLink) {
  const Bytes beyond = frame(kFromA, Ip{.src = kLinkLocalA, .dst = w.native}, Udp{});
  const Bytes near = frame(kFromA, Ip{.src = kLinkLocalA, .dst = w.gateway}, echo_request(true, 7));

  expect_drop(from_a(beyond), devices.pod_a, HOOK_POD_EGRESS, DROP_SPOOFED_SOURCE);
  EXPECT_EQ(from_a(near).verdict, kNext);
}

TEST_F(Ipv6Source, AnotherLinkLocalAddressThanThePodsOwnIsSpoofed) {
  const Bytes claim =
      frame(kFromA, Ip{.src = addr("fe80::10"), .dst = addr("ff02::2")}, router_solicitation());

  expect_drop(from_a(claim), devices.pod_a, HOOK_POD_EGRESS, DROP_SPOOFED_SOURCE);
}

// It would pass by conntrack and policy.
TEST_F(Ipv6Source, P10_NoConnectionIsMadeToTheNodesLinkLocalAddress) {
  const Ip by_own = {.src = w.pod_a, .dst = addr("fe80::99")};
  const Ip by_link_local = {.src = kLinkLocalA, .dst = addr("fe80::99")};

  for (const Ip& ip : {by_own, by_link_local}) {
    EXPECT_EQ(from_a(frame(kFromA, ip, Tcp{.sport = 1, .dport = 22})).verdict, kShot);
    EXPECT_EQ(from_a(frame(kFromA, ip, Udp{1, 53})).verdict, kShot);
  }
}

TEST_F(Ipv6Source, APacketToALinkLocalAddressIsNeverRoutedOrTranslated) {
  const Outcome outcome =
      from_a(frame(kFromA, Ip{.src = w.pod_a, .dst = w.gateway}, echo_request(true, 7)));

  EXPECT_EQ(outcome.verdict, kNext);
  EXPECT_EQ(outcome.mark, 0U);
  EXPECT_TRUE(rig.keys<ct_key>("sl_ct").empty());
}

}  // namespace
}  // namespace sluice::test
