// SPDX-License-Identifier: Apache-2.0
// What stands between the network header and the ports: IPv4 options, IPv6 extension headers,
// fragment headers; and what is cut short anywhere.
#include <arpa/inet.h>

#include "tests/prog/fixture.h"

namespace sluice::test {
namespace {

constexpr uint32_t kDatagram = 99;

class Headers : public ProgTest {
 protected:
  const World& v4 = world(Family::kIpv4);
  const World& v6 = world(Family::kIpv6);
  Bytes with(const std::vector<Extension>& extensions, const Transport& transport = Udp{1, 2}) {
    return frame(kFromA, Ip{.src = v6.pod_a, .dst = v6.pod_b, .extensions = extensions}, transport);
  }
  void expect_refused(const Bytes& packet, drop_reason reason) {
    expect_drop(from_a(packet), devices.pod_a, HOOK_POD_EGRESS, reason);
  }
};

TEST_F(Headers, PortsAreFoundBehindIpv4Options) {
  for (const size_t length : {4U, 8U, 40U}) {
    const Ip ip = {.src = v4.pod_a, .dst = v4.pod_b, .options = Bytes(length, 1)};
    const auto port = static_cast<uint16_t>(length);
    EXPECT_EQ(from_a(frame(kFromA, ip, Tcp{.sport = port, .dport = 80})).verdict, kRedirect);
    EXPECT_TRUE(flow(ip, kProtoTcp, port, 80).has_value()) << length;
  }
}

TEST_F(Headers, PortsAreFoundBehindEveryKnownExtensionHeader) {
  const std::vector<std::vector<Extension>> chains = {
      {{.type = kExtHopByHop}},
      {{.type = kExtDestination, .body = Bytes(30)}},
      {{.type = kExtRouting, .body = {4, 0}}},
      {{.type = kExtAuthentication, .body = Bytes(22)}},
      {{.type = kExtHopByHop}, {.type = kExtDestination}, {.type = kExtRouting, .body = {2, 0}}},
      std::vector<Extension>(IPV6_EXT_HEADERS_MAX)};
  uint16_t port = 1;
  for (const auto& chain : chains) {
    EXPECT_EQ(from_a(with(chain, Udp{.sport = port, .dport = 2})).verdict, kRedirect) << port;
    EXPECT_TRUE(flow(Ip{.src = v6.pod_a, .dst = v6.pod_b}, kProtoUdp, port, 2).has_value()) << port;
    port++;
  }
}

TEST_F(Headers, OneExtensionHeaderMoreThanIsWalkedIsRefused) {
  expect_refused(with(std::vector<Extension>(IPV6_EXT_HEADERS_MAX + 1)), DROP_IPV6_EXTENSION);
}

TEST_F(Headers, ASourceRouteOfTypeZeroIsRefusedWhereverItStands) {
  const Extension route = {.type = kExtRouting, .body = {0, 1}};

  expect_refused(with({{.type = kExtDestination}, route}), DROP_IPV6_EXTENSION);
}

TEST_F(Headers, HeadersFurtherInThanIsReadAreRefused) {
  expect_refused(with({{.body = Bytes(1100)}}), DROP_IPV6_EXTENSION);
}

TEST_F(Headers, AnExtensionHeaderThatRunsPastThePacketIsInvalid) {
  Bytes last = with({{.type = kExtDestination}}, Raw{.proto = kProtoGre});
  for (const uint8_t length : {uint8_t{1}, uint8_t{10}, uint8_t{255}}) {
    last[kEthernetBytes + 41] = length;
    EXPECT_EQ(from_a(last).verdict, kShot) << int{length};
  }

  EXPECT_EQ(rig.drops(devices.pod_a, HOOK_POD_EGRESS, DROP_INVALID_PACKET).packets, 3U);
}

TEST_F(Headers, AFragmentHeaderInThePaddingIsNoHeader) {
  const Bytes whole = with({}, Udp{.payload = Bytes(64)});
  Bytes padded = shortened(fragments(whole, 32, kDatagram)[1], kEthernetBytes + 40);
  padded = frame(kFromA, 0x86dd, Bytes(padded.begin() + kEthernetBytes, padded.end()));
  append(padded, {kProtoGre, 0, 0, 32, 0, 0, 0, 1});

  expect_refused(padded, DROP_INVALID_PACKET);
}

TEST_F(Headers, S19_FragmentsFindEachOtherWithHeadersBehindTheFragmentHeader) {
  // The fragmentable part starts with a destination header of 8 bytes.
  const Bytes whole = with({{.type = kExtDestination}}, Udp{5, 6, Bytes(64, 1)});
  const std::vector<Bytes> parts = fragments(whole, 40, kDatagram);

  expect_refused(parts[1], DROP_FRAGMENT_UNKNOWN);
  EXPECT_EQ(from_a(parts[0]).verdict, kRedirect);
  EXPECT_EQ(from_a(parts[1]).verdict, kRedirect);

  EXPECT_EQ(rig.keys<ct_key>("sl_ct").size(), 1U);
  EXPECT_EQ(flow(Ip{.src = v6.pod_a, .dst = v6.pod_b}, kProtoUdp, 5, 6)->packets[CT_FROM_OPENER],
            2U);
}

TEST_F(Headers, S19_FragmentsFindEachOtherWithHeadersInFrontOfTheFragmentHeader) {
  Ip ip = {.src = v6.pod_a, .dst = v6.pod_b, .extensions = {{.type = kExtDestination}}};
  ip.fragment = Fragment{.offset = 0, .more = true, .id = kDatagram};
  EXPECT_EQ(from_a(frame(kFromA, ip, Udp{5, 6, Bytes(32)})).verdict, kRedirect);
  ip.fragment = Fragment{.offset = 40, .more = false, .id = kDatagram};
  EXPECT_EQ(from_a(frame(kFromA, ip, Raw{.proto = kProtoUdp, .payload = Bytes(8)})).verdict,
            kRedirect);

  EXPECT_EQ(rig.keys<ct_key>("sl_ct").size(), 1U);
}

TEST_F(Headers, S19_AnAtomicFragmentIsAWholePacket) {
  Ip ip = {.src = v6.pod_a, .dst = v6.pod_b};
  ip.fragment = Fragment{.id = kDatagram};

  EXPECT_EQ(from_a(frame(kFromA, ip, Udp{5, 6})).verdict, kRedirect);
  EXPECT_TRUE(rig.keys<frag_key>("sl_frag").empty());
}

TEST_F(Headers, S19_LaterFragmentsOfAnotherDatagramOrPeerAreNotTaken) {
  const Bytes whole = frame(kFromA, Ip{.src = v4.pod_a, .dst = v4.pod_b}, Udp{5, 6, Bytes(64)});
  EXPECT_EQ(from_a(fragments(whole, 32, 1)[0]).verdict, kRedirect);

  expect_refused(fragments(whole, 32, 2)[1], DROP_FRAGMENT_UNKNOWN);
}

// Of every protocol: one flow both ways, by addresses and ports where it has ports.
class Protocols : public BothFamilies {};
IN_BOTH_FAMILIES(Protocols);

TEST_P(Protocols, SctpUdpLiteAndWhatHasNoPortsAreOneFlowBothWays) {
  const Ip there = {.src = w.pod_a, .dst = w.pod_b};
  const Ip back = {.src = w.pod_b, .dst = w.pod_a};
  const Bytes lite = {0, 5, 0, 6, 0, 8, 0, 0};
  const Bytes etil = {0, 6, 0, 5, 0, 8, 0, 0};
  struct {
    Transport sent;
    Transport answer;
    uint8_t proto;
    uint16_t sport;
    uint16_t dport;
  } const all[] = {{Sctp{5, 6}, Sctp{6, 5}, kProtoSctp, 5, 6},
                   {Raw{kProtoUdpLite, lite}, Raw{kProtoUdpLite, etil}, kProtoUdpLite, 5, 6},
                   {Raw{kProtoGre, Bytes(8)}, Raw{kProtoGre, Bytes(8)}, kProtoGre, 0, 0},
                   {Raw{50, Bytes(16)}, Raw{50, Bytes(16)}, 50, 0, 0}};
  for (const auto& one : all) {
    EXPECT_EQ(from_a(frame(kFromA, there, one.sent)).verdict, kRedirect) << int{one.proto};
    EXPECT_EQ(from_b(frame(kFromB, back, one.answer)).verdict, kRedirect) << int{one.proto};
    const auto entry = flow(there, one.proto, one.sport, one.dport);
    ASSERT_TRUE(entry.has_value()) << int{one.proto};
    EXPECT_EQ(entry->state, CT_STATE_ESTABLISHED);
    EXPECT_EQ(entry->packets[CT_FROM_REPLIER], 1U);
  }
}

// Cut at every length: from a pod it is never redirected, from the wire it is the host's,
// unchanged.
class Cuts : public ProgTest {
 protected:
  // `least`: bytes of a frame that are enough; fewer never pass.
  void expect_held(const Bytes& from_pod, size_t least) {
    for (size_t length = kEthernetBytes + 1; length < least; length++) {
      const Outcome cut = rig.run(Program::kPodEgress, truncated(from_pod, length), devices.pod_a);
      EXPECT_TRUE(cut.error != 0 || cut.verdict == kShot) << length;
    }
  }
  void expect_left_alone(const Bytes& from_wire) {
    for (size_t length = kEthernetBytes + 1; length < from_wire.size(); length++) {
      const Bytes cut = truncated(from_wire, length);
      const Outcome left = rig.run(Program::kUplinkIngress, cut, devices.uplink);
      EXPECT_TRUE(left.error != 0 || left.verdict == kNext) << length;
      EXPECT_TRUE(left.error != 0 || left.out == cut) << length;
    }
  }
};

TEST_F(Cuts, N15_ArpIsNotAnswered) {
  const World& w = world(Family::kIpv4);
  const Bytes ask =
      frame(kFromA, Arp{.sender_mac = kPodMacA, .sender = w.pod_a, .target = w.gateway});

  expect_held(ask, ask.size());
  expect_left_alone(ask);
}

TEST_F(Cuts, N15_NeighbourSolicitationsAreNotAnswered) {
  const World& w = world(Family::kIpv6);
  const Bytes ask = frame(kFromA, Ip{.src = w.pod_a, .dst = solicited_node(w.gateway), .ttl = 255},
                          neighbour_solicitation(w.gateway, kPodMacA));

  expect_held(ask, ask.size());
  expect_left_alone(ask);
  for (size_t length = kEthernetBytes + 41; length < kEthernetBytes + 64; length++) {
    const Outcome cut = rig.run(Program::kPodEgress, shortened(ask, length), devices.pod_a);
    EXPECT_EQ(cut.verdict, kShot) << length << ": the target is missing";
  }
}

TEST_F(Cuts, OptionsExtensionHeadersAndFragmentsNeverPass) {
  const World& v4 = world(Family::kIpv4);
  const World& v6 = world(Family::kIpv6);
  const std::vector<Extension> chain = {{.type = kExtHopByHop},
                                        {.type = kExtAuthentication, .body = Bytes(22)},
                                        {.type = kExtDestination, .body = Bytes(20)}};
  const Ip all[] = {{.src = v4.pod_a, .dst = v4.pod_b, .options = Bytes(12, 1)},
                    {.src = v6.pod_a, .dst = v6.pod_b, .extensions = chain},
                    {.src = v4.pod_a, .dst = v4.pod_b, .fragment = Fragment{0, true, kDatagram}},
                    {.src = v6.pod_a, .dst = v6.pod_b, .fragment = Fragment{0, true, kDatagram}},
                    {.src = v6.pod_a, .dst = v6.pod_b, .fragment = Fragment{64, true, kDatagram}}};
  for (const Ip& ip : all) {
    const Bytes whole = frame(kFromA, ip, Tcp{.sport = 1, .dport = 2});
    const size_t header = ip.src.is_ipv4() ? 20 : 40;
    expect_held(whole, whole.size());
    Ip received = ip;
    received.src = ip.src.is_ipv4() ? v4.outside : v6.outside;
    received.dst = ip.dst;
    expect_left_alone(frame(kFromWire, received, Tcp{.sport = 1, .dport = 2}));
    const bool is_later = ip.fragment && ip.fragment->offset != 0;
    const size_t least = is_later ? kEthernetBytes + header + 8 : whole.size();
    for (size_t length = kEthernetBytes + header; length < least; length++)
      EXPECT_EQ(from_a(shortened(whole, length)).verdict, kShot) << length;
  }
}

}  // namespace
}  // namespace sluice::test
