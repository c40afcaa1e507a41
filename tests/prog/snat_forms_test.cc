// SPDX-License-Identifier: Apache-2.0
// Source translation of everything but a plain segment: fragments, options, protocols without a
// port to change, errors that a pod sends; and the ports that the host's own sockets hold.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "tests/prog/fixture.h"

namespace sluice::test {
namespace {

constexpr uint16_t kPort = 41000;

class SnatForms : public BothFamilies {
 protected:
  Ip out() { return {.src = w.pod_a, .dst = w.outside}; }
  Ip back() { return {.src = w.outside, .dst = w.node}; }
  // From the end of the IP header of a frame that `fragments` made.
  Bytes fragment_body(const Bytes& frame) {
    return {frame.begin() + static_cast<std::ptrdiff_t>(kEthernetBytes + (is_v6 ? 48 : 20)),
            frame.end()};
  }
  void set_range(uint16_t low, uint16_t high) {
    node_row row = node_settings();
    row.snat_port_min = low;
    row.snat_port_max = high;
    rig.put("sl_node", uint32_t{0}, row);
  }
  // UDP-Lite, RFC 3828: the checksum covers the whole.
  Raw lite(const Ip& ip, uint16_t sport, uint16_t dport) {
    Bytes bytes;
    append16(bytes, sport);
    append16(bytes, dport);
    append32(bytes, 0);
    append(bytes, Bytes(10, 3));
    put16(bytes, 6, transport_checksum(ip.src, ip.dst, kProtoUdpLite, bytes));
    return {.proto = kProtoUdpLite, .payload = bytes};
  }
  Bytes transport_of(const Bytes& frame) {
    return {frame.begin() + static_cast<std::ptrdiff_t>(read_frame(frame).l4_offset), frame.end()};
  }
};
IN_BOTH_FAMILIES(SnatForms);

TEST_P(SnatForms, S19_FragmentsLeaveAsTheNodeAndAreWholeAgainAtTheReceiver) {
  const Bytes whole = frame(kFromA, out(), Udp{.sport = 7, .dport = 53, .payload = Bytes(64, 9)});
  const std::vector<Bytes> parts = fragments(whole, 32, 5);

  const Outcome first = out_from_a(parts[0]);
  const Outcome later = out_from_a(parts[1]);

  ASSERT_EQ(first.verdict, kNext);
  ASSERT_EQ(later.verdict, kNext);
  EXPECT_EQ(read_frame(first.out).src, w.node);
  EXPECT_EQ(read_frame(later.out).src, w.node);
  Bytes datagram = fragment_body(first.out);
  append(datagram, fragment_body(later.out));
  EXPECT_GE(get16(datagram, 0), kSnatMin);
  EXPECT_EQ(transport_checksum(w.node, w.outside, kProtoUdp, datagram), 0);
}

TEST_P(SnatForms, S19_AnAnswerInFragmentsIsWholeAgainAtThePod) {
  const Seen sent = read_frame(out_from_a(frame(kFromA, out(), Udp{7, 53})).out);
  const Bytes whole = frame(kFromWire, back(), Udp{53, sent.sport, Bytes(64, 9)});
  const std::vector<Bytes> parts = fragments(whole, 32, 5);

  const Outcome first = from_wire(parts[0]);
  const Outcome later = from_wire(parts[1]);

  ASSERT_EQ(first.verdict, kRedirect);
  ASSERT_EQ(later.verdict, kRedirect);
  EXPECT_EQ(read_frame(later.out).dst, w.pod_a);
  Bytes datagram = fragment_body(first.out);
  append(datagram, fragment_body(later.out));
  EXPECT_EQ(get16(datagram, 2), 7);
  EXPECT_EQ(transport_checksum(w.outside, w.pod_a, kProtoUdp, datagram), 0);
}

TEST_P(SnatForms, OptionsAndExtensionHeadersStayWhereTheyAre) {
  Ip ip = out();
  if (is_v6)
    ip.extensions = {{.type = kExtDestination, .body = Bytes(14)}};
  else
    ip.options = Bytes(8, 1);

  const Outcome sent = out_from_a(frame(kFromA, ip, Tcp{.sport = 7, .dport = 443}));

  EXPECT_EQ(sent.verdict, kNext);
  EXPECT_EQ(read_frame(sent.out).src, w.node);
  EXPECT_GE(read_frame(sent.out).sport, kSnatMin);
  EXPECT_EQ(read_frame(sent.out).l4_offset, kEthernetBytes + (is_v6 ? 56U : 28U));
}

TEST_P(SnatForms, S18_AnErrorThatThePodSendsAboutATranslatedFlowNamesTheNode) {
  const struct {
    Transport sent;
    Transport received;  // by the pod
  } all[] = {{Tcp{.sport = 7, .dport = 443}, Tcp{.sport = 443, .dport = 7, .flags = kAck}},
             {Udp{7, 53}, Udp{53, 7}},
             {echo_request(is_v6, 7), echo_reply(is_v6, 7)}};
  for (const auto& one : all) {
    const Seen first = read_frame(out_from_a(frame(kFromA, out(), one.sent)).out);
    const Bytes quote = packet(Ip{.src = w.outside, .dst = w.pod_a}, one.received);

    const Outcome error =
        out_from_a(frame(kFromA, out(), icmp_error(is_v6, ErrorKind::kUnreachable, quote)));

    ASSERT_EQ(error.verdict, kNext);
    const Seen quoted = read_frame(quoted_frame(error.out));
    EXPECT_EQ(read_frame(error.out).src, w.node);
    EXPECT_EQ(quoted.dst, w.node);
    const bool is_echo = quoted.proto == w.icmp();
    EXPECT_EQ(is_echo ? quoted.icmp_id : quoted.dport, is_echo ? first.icmp_id : first.sport);
  }
}

TEST_P(SnatForms, SctpKeepsItsPortsAndItsChecksumAndTheAnswerFindsThePod) {
  const Outcome sent = out_from_a(frame(kFromA, out(), Sctp{7, 9, Bytes(12)}));
  const Outcome answer = from_wire(frame(kFromWire, back(), Sctp{9, 7, Bytes(12)}));

  EXPECT_EQ(read_frame(sent.out).src, w.node);
  EXPECT_EQ(read_frame(sent.out).sport, 7);
  EXPECT_EQ(answer.verdict, kRedirect);
  EXPECT_EQ(read_frame(answer.out).dst, w.pod_a);
}

TEST_P(SnatForms, UdpLiteKeepsItsPortsAndHasARightChecksum) {
  const Outcome sent = out_from_a(frame(kFromA, out(), lite(out(), 7, 9)));
  const Outcome answer = from_wire(frame(kFromWire, back(), lite(back(), 9, 7)));

  ASSERT_EQ(sent.verdict, kNext);
  ASSERT_EQ(answer.verdict, kRedirect);
  EXPECT_EQ(transport_checksum(w.node, w.outside, kProtoUdpLite, transport_of(sent.out)), 0);
  EXPECT_EQ(transport_checksum(w.outside, w.pod_a, kProtoUdpLite, transport_of(answer.out)), 0);
}

// All that the peer sends to the node by that protocol would be the pod's.
TEST_P(SnatForms, S15_WhatHasNoPortIsRefusedAndTheNodeKeepsItsOwn) {
  const Raw gre = {.proto = kProtoGre, .payload = Bytes(16)};

  expect_drop(out_from_a(frame(kFromA, out(), gre)), devices.uplink, HOOK_UPLINK_EGRESS,
              DROP_SNAT_NO_PORT);

  EXPECT_EQ(from_wire(frame(kFromWire, back(), gre)).verdict, kNext);
}

// The agent has written that the node's address is another now.
TEST_P(SnatForms, S14_AFlowWhoseNodeAddressIsGoneStartsAnewWithTheOneThereIs) {
  const Bytes packet = frame(kFromA, out(), Udp{7, 53});
  const Address later = is_v6 ? addr("2001:db8:1::77") : addr("192.0.2.77");
  ASSERT_EQ(read_frame(out_from_a(packet).out).src, w.node);
  identity_row host = {};
  host.identity = IDENTITY_HOST;
  host.flags = ADDRESS_THIS_NODE;
  put_identity(rig, Prefix{.address = later, .length = 128}, host);
  host.flags = 0;
  put_identity(rig, Prefix{.address = w.node, .length = 128}, host);
  device_row uplink = {};
  (is_v6 ? uplink.ipv6 : uplink.ipv4) = to_abi(later);
  rig.put("sl_device", devices.uplink, uplink);
  ct_entry entry = flow(out(), kProtoUdp, 7, 53).value();
  entry.route_until_ns = 0;
  rig.put("sl_ct", flow_key(out(), kProtoUdp, 7, 53), entry);

  expect_drop(from_a(packet), devices.pod_a, HOOK_POD_EGRESS, DROP_SNAT_NO_ADDRESS);

  EXPECT_EQ(read_frame(out_from_a(packet).out).src, later);
  EXPECT_EQ(rig.keys<nat_key>("sl_nat").size(), 1U);
}

TEST_P(SnatForms, S15_TwoPodsWithOneSourcePortAreTwoFlows) {
  const Seen a = read_frame(out_from_a(frame(kFromA, out(), Udp{7, 53})).out);
  const Outcome first = from_b(frame(kFromB, Ip{.src = w.pod_b, .dst = w.outside}, Udp{7, 53}));
  const Seen b = read_frame(run(Program::kUplinkEgress, first.out, devices.uplink, first.mark).out);

  EXPECT_NE(a.sport, b.sport);
  EXPECT_EQ(read_frame(from_wire(frame(kFromWire, back(), Udp{53, b.sport})).out).dst, w.pod_b);
}

// Sockets of the host that use the first port of the range.
class SnatSockets : public SnatForms {
 protected:
  sockaddr_in6 name(const Address& address, uint16_t port) {
    sockaddr_in6 out6 = {};
    out6.sin6_family = AF_INET6;
    out6.sin6_port = htons(port);
    std::copy(address.bytes.begin(), address.bytes.end(), out6.sin6_addr.s6_addr);
    return out6;
  }
  // Mapped addresses make an IPv6 socket speak IPv4. Bound to the node's address and kPort.
  Fd bound(int type) {
    Fd fd(socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const sockaddr_in6 own = name(w.node, kPort);
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&own), sizeof(own)), 0);
    return fd;
  }
  void connect_to(const Fd& fd, const Address& address, uint16_t port) {
    const sockaddr_in6 peer = name(address, port);
    const int rc = connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof(peer));
    EXPECT_TRUE(rc == 0 || errno == EINPROGRESS);
  }
  uint16_t port_of(const Transport& transport) {
    return read_frame(out_from_a(frame(kFromA, out(), transport)).out).sport;
  }
};
IN_BOTH_FAMILIES(SnatSockets);

TEST_P(SnatSockets, S15_APortOfAUdpSocketIsNotTaken) {
  set_range(kPort, kPort);
  const Fd socket = bound(SOCK_DGRAM);

  expect_drop(out_from_a(frame(kFromA, out(), Udp{7, 53})), devices.uplink, HOOK_UPLINK_EGRESS,
              DROP_SNAT_EXHAUSTED);
}

TEST_P(SnatSockets, S15_APortThatIsConnectedToTheSamePeerIsNotTaken) {
  set_range(kPort, kPort);
  const Fd udp = bound(SOCK_DGRAM);
  const Fd tcp = bound(SOCK_STREAM);
  connect_to(udp, w.outside, 53);
  connect_to(tcp, w.outside, 443);

  for (const Transport& one : {Transport(Udp{7, 53}), Transport(Tcp{.sport = 7, .dport = 443})})
    EXPECT_EQ(out_from_a(frame(kFromA, out(), one)).verdict, kShot);
  EXPECT_EQ(rig.drops(devices.uplink, HOOK_UPLINK_EGRESS, DROP_SNAT_EXHAUSTED).packets, 2U);
}

TEST_P(SnatSockets, S15_APortThatIsConnectedToAnotherPeerIsFree) {
  set_range(kPort, kPort);
  const Fd udp = bound(SOCK_DGRAM);
  const Fd tcp = bound(SOCK_STREAM);
  connect_to(udp, w.native, 53);
  connect_to(tcp, w.native, 443);

  EXPECT_EQ(port_of(Udp{7, 53}), kPort);
  EXPECT_EQ(port_of(Tcp{.sport = 7, .dport = 443}), kPort);
}

TEST(SnatTables, S15_AFullTranslationTableRefusesNewFlowsAndKeepsOpenOnes) {
  network();
  Rig rig(RigOptions{.max_entries = {{"sl_nat", 1}}});
  fill(rig);
  const World& w = world(Family::kIpv4);
  const auto send = [&](uint16_t port) {
    const Bytes packet = frame(kFromA, Ip{.src = w.pod_a, .dst = w.outside}, Udp{port, 53});
    const Outcome first = rig.run(Program::kPodEgress, packet, network().devices.pod_a);
    return rig.run(Program::kUplinkEgress, first.out, network().devices.uplink, first.mark).verdict;
  };

  EXPECT_EQ(send(1), kNext);
  EXPECT_EQ(send(2), kShot);
  EXPECT_EQ(send(1), kNext);
  EXPECT_EQ(rig.drops(network().devices.uplink, HOOK_UPLINK_EGRESS, DROP_CT_FULL).packets, 1U);
}

}  // namespace
}  // namespace sluice::test
