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

}  // namespace
}  // namespace sluice::test
