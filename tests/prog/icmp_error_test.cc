// SPDX-License-Identifier: Apache-2.0
// ICMP errors about the pods' flows: whose they are, and what translation makes of their quotes.
#include "tests/prog/fixture.h"

namespace sluice::test {
namespace {

class IcmpErrors : public BothFamilies {
 protected:
  Bytes error(const Address& from, const Address& to, const Bytes& quote) {
    return frame(kFromWire, Ip{.src = from, .dst = to},
                 icmp_error(is_v6, ErrorKind::kTooBig, quote));
  }
  // The packet as it left the node, from its network header.
  Bytes sent_to(const Address& dst, const Transport& transport) {
    const Outcome out = out_from_a(frame(kFromA, Ip{.src = w.pod_a, .dst = dst}, transport));
    return {out.out.begin() + kEthernetBytes, out.out.end()};
  }
};
IN_BOTH_FAMILIES(IcmpErrors);

TEST_P(IcmpErrors, S18_AnErrorGoesToTheSenderOfThePacketItQuotes) {
  const Bytes quote = sent_to(w.native, Udp{7, 53});

  const Outcome outcome = from_wire(error(w.native, w.pod_a, quote));

  EXPECT_EQ(outcome.verdict, kRedirect);
  EXPECT_EQ(read_frame(outcome.out).dst_mac, kPodMacA);
}

TEST_P(IcmpErrors, P19_ATooBigReachesAnIsolatedPod) {
  const Bytes quote = sent_to(w.native, Udp{7, 53});
  isolate(devices.pod_a, ENDPOINT_ISOLATED_INGRESS);
  isolate(devices.pod_a, ENDPOINT_ISOLATED_EGRESS);
  bump_policy_revision();

  EXPECT_EQ(from_wire(error(w.native, w.pod_a, quote)).verdict, kRedirect);
}

TEST_P(IcmpErrors, S18_AnErrorToAPodAboutAnothersPacketIsDropped) {
  const Bytes quote = sent_to(w.native, Udp{7, 53});

  expect_drop(from_wire(error(w.native, w.pod_b, quote)), devices.uplink, HOOK_UPLINK_INGRESS,
              DROP_INVALID_PACKET);
}

TEST_P(IcmpErrors, S18_AnErrorToTheNodeAboutAPodsPacketIsTheHostsUnchanged) {
  const Bytes about_pod = error(w.native, w.node, sent_to(w.native, Udp{7, 53}));

  const Outcome outcome = from_wire(about_pod);

  EXPECT_EQ(outcome.verdict, kNext);
  EXPECT_EQ(outcome.out, about_pod);
}

TEST_P(IcmpErrors, S18_AnErrorToSomebodyElseAboutATranslatedPacketIsNotTranslated) {
  const Bytes quote = sent_to(w.outside, Tcp{.sport = 7, .dport = 443});
  const Bytes elsewhere = error(w.outside, w.native, quote);

  const Outcome outcome = from_wire(elsewhere);

  EXPECT_EQ(outcome.verdict, kNext);
  EXPECT_EQ(outcome.out, elsewhere);
  expect_drop(from_wire(error(w.outside, w.pod_a, quote)), devices.uplink, HOOK_UPLINK_INGRESS,
              DROP_INVALID_PACKET);
}

TEST_P(IcmpErrors, S18_NobodyOutsideHasSeenAPacketBetweenTwoPodsOfThisNode) {
  const Bytes quote = packet(Ip{.src = w.pod_a, .dst = w.pod_b}, Udp{7, 53});
  from_a(frame(kFromA, Ip{.src = w.pod_a, .dst = w.pod_b}, Udp{7, 53}));

  expect_drop(from_wire(error(w.outside, w.pod_a, quote)), devices.uplink, HOOK_UPLINK_INGRESS,
              DROP_SPOOFED_SOURCE);
}

// Quotes of translated packets, cut where the sender of the error likes.
class Quotes : public IcmpErrors {
 protected:
  size_t header() const { return is_v6 ? 40 : 20; }
  Ip out() { return {.src = w.pod_a, .dst = w.outside}; }
  // What pod A gets of an error about its packet that quotes this many bytes of the transport.
  Bytes quote_at_pod(const Transport& transport, size_t bytes) {
    const Bytes sent = sent_to(w.outside, transport);
    const Outcome outcome =
        from_wire(frame(kFromWire, Ip{.src = w.outside, .dst = w.node},
                        icmp_error(is_v6, ErrorKind::kTooBig, sent, header() + bytes)));
    EXPECT_EQ(outcome.verdict, kRedirect);
    return quote_of(outcome);
  }
  Bytes quote_of(const Outcome& outcome) {
    const Bytes quoted = quoted_frame(outcome.out);
    return {quoted.begin() + kEthernetBytes, quoted.end()};
  }
  // Without the header's hop count and checksum, which differ: the packet has travelled.
  Bytes transport_of(const Bytes& packet, size_t bytes) {
    const auto from = packet.begin() + static_cast<std::ptrdiff_t>(header());
    return {from, from + static_cast<std::ptrdiff_t>(std::min(bytes, packet.size() - header()))};
  }
};
IN_BOTH_FAMILIES(Quotes);

TEST_P(Quotes, S18_ThePodGetsWhatItSentAsFarAsItIsQuoted) {
  const Transport all[] = {Tcp{.sport = 7, .dport = 443, .payload = Bytes(9, 3)},
                           Udp{7, 53, Bytes(33, 3)}, echo_request(is_v6, 7)};
  for (const Transport& one : all) {
    const Bytes sent = packet(out(), one);
    for (const size_t bytes : {8U, 16U, 17U, 18U, 20U, 64U}) {
      const size_t whole = bytes == 17 ? 16 : bytes;  // half a checksum is none
      EXPECT_EQ(transport_of(quote_at_pod(one, bytes), whole), transport_of(sent, whole)) << bytes;
    }
  }
}

TEST_P(Quotes, S18_AUdpChecksumThatIsAllOnesDoesNotBecomeNone) {
  Udp udp = {7, 53, {0, 0}};
  const uint16_t sum = get16(packet(out(), udp), header() + 6);
  put16(udp.payload, 0, sum);  // the sum over all is now 0, which is sent as ones
  const Bytes sent = packet(out(), udp);
  ASSERT_EQ(get16(sent, header() + 6), 0xffff);

  EXPECT_EQ(transport_of(quote_at_pod(udp, 64), 64), transport_of(sent, 64));
}

TEST_P(Quotes, S18_AnErrorFromThePodQuotesWhatTheOutsideSent) {
  const struct {
    Transport sent;
    Transport received;
  } all[] = {{Tcp{.sport = 7, .dport = 443}, Tcp{.sport = 443, .dport = 7, .flags = kAck}},
             {Udp{7, 53}, Udp{53, 7, Bytes(9, 3)}},
             {echo_request(is_v6, 7), echo_reply(is_v6, 7)}};
  for (const auto& one : all) {
    const Seen first = read_frame(out_from_a(frame(kFromA, out(), one.sent)).out);
    Transport wanted = one.received;
    if (auto* tcp = std::get_if<Tcp>(&wanted)) tcp->dport = first.sport;
    if (auto* udp = std::get_if<Udp>(&wanted)) udp->dport = first.sport;
    if (std::holds_alternative<Icmp>(wanted)) wanted = echo_reply(is_v6, first.icmp_id);
    const Bytes from_outside = packet(Ip{.src = w.outside, .dst = w.node}, wanted);
    const Bytes to_pod = packet(Ip{.src = w.outside, .dst = w.pod_a}, one.received);
    for (const size_t bytes : {8U, 18U, 64U}) {
      const Outcome error = out_from_a(frame(
          kFromA, out(), icmp_error(is_v6, ErrorKind::kUnreachable, to_pod, header() + bytes)));
      EXPECT_EQ(transport_of(quote_of(error), bytes), transport_of(from_outside, bytes)) << bytes;
    }
  }
}

TEST(QuotesIpv4, S18_AQuotedUdpPacketWithoutChecksumStaysWithoutOne) {
  network();
  Rig rig(RigOptions{.whole_sum = false});  // as in SnatIpv4: such a packet has none that is kept
  fill(rig);
  const World& w = world(Family::kIpv4);
  const uint32_t uplink = network().devices.uplink;
  const Udp udp = {.sport = 7, .dport = 53, .zero_checksum = true};
  const Outcome first =
      rig.run(Program::kPodEgress, frame(kFromA, Ip{.src = w.pod_a, .dst = w.outside}, udp),
              network().devices.pod_a);
  const Bytes sent = rig.run(Program::kUplinkEgress, first.out, uplink, first.mark).out;
  const Bytes quote(sent.begin() + kEthernetBytes, sent.end());

  const Outcome outcome = rig.run(Program::kUplinkIngress,
                                  frame(kFromWire, Ip{.src = w.outside, .dst = w.node},
                                        icmp_error(false, ErrorKind::kTooBig, quote)),
                                  uplink);

  EXPECT_EQ(outcome.verdict, kRedirect);
  EXPECT_EQ(get16(quoted_frame(outcome.out), kEthernetBytes + 20), 7);
  EXPECT_EQ(get16(quoted_frame(outcome.out), kEthernetBytes + 26), 0);
  EXPECT_EQ(checksum_problems(outcome.out), "");
}

}  // namespace
}  // namespace sluice::test
