// SPDX-License-Identifier: Apache-2.0
// pod_egress, uplink_egress and uplink_ingress in a row: source translation, there and back.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/prog/fixture.h"

namespace sluice::test {
namespace {

class Snat : public BothFamilies {
 protected:
  Bytes sent(const Transport& transport) {
    return frame(kFromA, Ip{.src = w.pod_a, .dst = w.outside}, transport);
  }
  Bytes answer(const Transport& transport) {
    return frame(kFromWire, Ip{.src = w.outside, .dst = w.node}, transport);
  }
  size_t translations() { return rig.keys<nat_key>("sl_nat").size(); }
  void set_range(uint16_t low, uint16_t high) {
    node_row row = node_settings();
    row.snat_port_min = low;
    row.snat_port_max = high;
    rig.put("sl_node", uint32_t{0}, row);
  }
};
IN_BOTH_FAMILIES(Snat);

TEST_P(Snat, S14_ATcpFlowGoesOutAsTheNodeAndItsAnswerFindsThePod) {
  const Seen out = read_frame(out_from_a(sent(Tcp{.sport = 1000, .dport = 443})).out);
  const Seen again = read_frame(out_from_a(sent(Tcp{.sport = 1000, .dport = 443})).out);
  const Outcome back =
      from_wire(answer(Tcp{.sport = 443, .dport = out.sport, .flags = kSyn | kAck}));

  EXPECT_EQ(out.src, w.node);
  EXPECT_GE(out.sport, kSnatMin);
  EXPECT_LE(out.sport, kSnatMax);
  EXPECT_EQ(again.sport, out.sport);
  EXPECT_EQ(translations(), 1U);
  EXPECT_EQ(back.verdict, kRedirect);
  EXPECT_EQ(read_frame(back.out).dst, w.pod_a);
  EXPECT_EQ(read_frame(back.out).dport, 1000);
}

TEST_P(Snat, AnEchoIdIsTranslatedThereAndBack) {
  const Seen out = read_frame(out_from_a(sent(echo_request(is_v6, 7))).out);
  const Outcome back = from_wire(answer(echo_reply(is_v6, out.icmp_id)));

  EXPECT_GE(out.icmp_id, kSnatMin);
  EXPECT_EQ(read_frame(back.out).icmp_id, 7);
  EXPECT_EQ(read_frame(back.out).dst, w.pod_a);
}

TEST_P(Snat, S15_AnEchoIdThatTheNodeUsesItselfIsGivenBack) {
  const Seen out = read_frame(out_from_a(sent(echo_request(is_v6, 7))).out);
  const Outcome own = rig.run(
      Program::kUplinkEgress,
      frame(kFromWire, Ip{.src = w.node, .dst = w.outside}, echo_request(is_v6, out.icmp_id)),
      devices.uplink);
  const Outcome nodes = from_wire(answer(echo_reply(is_v6, out.icmp_id)));
  const Seen moved = read_frame(out_from_a(sent(echo_request(is_v6, 7))).out);
  const Outcome pods = from_wire(answer(echo_reply(is_v6, moved.icmp_id)));

  EXPECT_EQ(own.verdict, kNext);
  EXPECT_EQ(nodes.verdict, kNext);
  EXPECT_EQ(read_frame(nodes.out).dst, w.node);
  EXPECT_EQ(read_frame(pods.out).icmp_id, 7);
  EXPECT_EQ(translations(), 1U);
}

TEST_P(Snat, WhatElseTheNodeSendsTakesNoTranslationAway) {
  const Ip own = {.src = w.node, .dst = w.outside};
  const Seen ping = read_frame(out_from_a(sent(echo_request(is_v6, 7))).out);
  const Seen query = read_frame(out_from_a(sent(Udp{.sport = 1000, .dport = 53})).out);
  const Transport others[] = {echo_request(is_v6, static_cast<uint16_t>(ping.icmp_id + 1)),
                              echo_reply(is_v6, ping.icmp_id),
                              Udp{.sport = query.sport, .dport = 53}};

  for (const Transport& one : others) {
    EXPECT_EQ(rig.run(Program::kUplinkEgress, frame(kFromWire, own, one), devices.uplink).verdict,
              kNext);
  }

  EXPECT_EQ(translations(), 2U);
}

TEST_P(Snat, AUdpAnswerFindsThePod) {
  const Seen out = read_frame(out_from_a(sent(Udp{.sport = 1000, .dport = 53})).out);
  const Outcome back = from_wire(answer(Udp{.sport = 53, .dport = out.sport}));

  EXPECT_EQ(back.verdict, kRedirect);
  EXPECT_EQ(read_frame(back.out).dport, 1000);
}

TEST_P(Snat, S18_AnErrorAboutATranslatedFlowIsTranslatedWithItsQuote) {
  const Transport all[] = {Tcp{.sport = 1000, .dport = 443}, Udp{.sport = 1000, .dport = 53},
                           echo_request(is_v6, 7)};
  for (const Transport& one : all) {
    const Outcome out = out_from_a(sent(one));
    const Bytes quote(out.out.begin() + kEthernetBytes, out.out.end());
    const Outcome back = from_wire(answer(icmp_error(is_v6, ErrorKind::kTooBig, quote)));

    EXPECT_EQ(back.verdict, kRedirect);
    EXPECT_EQ(read_frame(back.out).dst, w.pod_a);
    EXPECT_EQ(read_frame(quoted_frame(back.out)).src, w.pod_a);
  }
}

TEST_P(Snat, S15_ExhaustionIsADropAndOpenFlowsGoOn) {
  set_range(41000, 41001);
  out_from_a(sent(Tcp{.sport = 1, .dport = 443}));
  out_from_a(sent(Tcp{.sport = 2, .dport = 443}));

  expect_drop(out_from_a(sent(Tcp{.sport = 3, .dport = 443})), devices.uplink, HOOK_UPLINK_EGRESS,
              DROP_SNAT_EXHAUSTED);
  EXPECT_EQ(out_from_a(sent(Tcp{.sport = 1, .dport = 443, .flags = kAck})).verdict, kNext);
}

TEST_P(Snat, S15_APortThatAHostSocketListensOnIsNotTaken) {
  set_range(41000, 41001);
  const int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
  sockaddr_in v4 = {};
  sockaddr_in6 v6 = {};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(41000);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(41000);
  const int bound = is_v6 ? bind(fd, reinterpret_cast<sockaddr*>(&v6), sizeof(v6))
                          : bind(fd, reinterpret_cast<sockaddr*>(&v4), sizeof(v4));
  ASSERT_EQ(bound, 0);
  ASSERT_EQ(listen(fd, 1), 0);

  const Seen out = read_frame(out_from_a(sent(Tcp{.sport = 1, .dport = 443})).out);

  EXPECT_EQ(out.sport, 41001);
  close(fd);
}

TEST_P(Snat, S31_ATupleUsedAgainLeavesNoTranslationBehind) {
  for (int round = 0; round < 3; round++) {
    out_from_a(sent(Tcp{.sport = 1000, .dport = 443}));
    out_from_a(sent(Tcp{.sport = 1000, .dport = 443, .flags = kRst}));
  }

  EXPECT_EQ(translations(), 1U);
}

TEST_P(Snat, ADeviceWithoutAnAddressCannotTranslate) {
  rig.put("sl_device", devices.uplink, device_row{});

  expect_drop(out_from_a(sent(Udp{})), devices.uplink, HOOK_UPLINK_EGRESS, DROP_SNAT_NO_ADDRESS);
}

TEST_P(Snat, S30_TheSweepRemovesAnExpiredFlowWithItsTranslationOnly) {
  out_from_a(sent(Udp{.sport = 1, .dport = 53}));
  out_from_a(sent(Udp{.sport = 2, .dport = 53}));
  const Ip ip = {.src = w.pod_a, .dst = w.outside};
  ct_entry old = flow(ip, kProtoUdp, 1, 53).value();
  old.last_seen_ns =
      0;  // since the machine started: longer ago than any timeout, or the test fails loudly
  rig.put("sl_ct", flow_key(ip, kProtoUdp, 1, 53), old);

  const uint32_t removed = rig.sweep(rig.keys<ct_key>("sl_ct"));

  EXPECT_EQ(removed, 1U);
  EXPECT_TRUE(flow(ip, kProtoUdp, 2, 53).has_value());
  EXPECT_EQ(translations(), 1U);
}

TEST(SnatIpv4, S14_AUdpPacketWithoutChecksumStaysWithoutOne) {
  // Without a checksum nothing absorbs the new port; nobody would check the whole packet's sum
  // either.
  network();
  Rig rig(RigOptions{.whole_sum = false});
  fill(rig);
  const World& w = world(Family::kIpv4);
  const Bytes sent = frame(kFromA, Ip{.src = w.pod_a, .dst = w.outside},
                           Udp{.sport = 1, .dport = 2, .zero_checksum = true});
  const Outcome first = rig.run(Program::kPodEgress, sent, network().devices.pod_a);
  const Outcome out =
      rig.run(Program::kUplinkEgress, first.out, network().devices.uplink, first.mark);

  EXPECT_EQ(get16(out.out, 40), 0);
  EXPECT_EQ(checksum_problems(out.out), "");
}

TEST(SnatTables, S15_AFullTableRefusesNewFlowsAndKeepsOpenOnes) {
  network();
  Rig rig(RigOptions{.max_entries = {{"sl_ct", 2}}});
  fill(rig);
  const World& w = world(Family::kIpv4);
  const auto send = [&](uint16_t port) {
    return rig
        .run(Program::kPodEgress,
             frame(kFromA, Ip{.src = w.pod_a, .dst = w.pod_b}, Udp{.sport = port, .dport = 2}),
             network().devices.pod_a)
        .verdict;
  };

  EXPECT_EQ(send(1), kRedirect);
  EXPECT_EQ(send(2), kRedirect);
  EXPECT_EQ(send(3), kShot);
  EXPECT_EQ(send(1), kRedirect);
  EXPECT_EQ(rig.drops(network().devices.pod_a, HOOK_POD_EGRESS, DROP_CT_FULL).packets, 1U);
}

}  // namespace
}  // namespace sluice::test
