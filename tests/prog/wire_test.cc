// SPDX-License-Identifier: Apache-2.0
// What only a real device does to a packet before a program sees it: VLAN tags are taken off, the
// overlay's header becomes metadata. Programs are attached, frames are sent by packet sockets.
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "tests/prog/fixture.h"

namespace sluice::test {
namespace {

constexpr auto kPatience = std::chrono::seconds(5);
constexpr uint16_t kVlan = 0x8100;

Fd this_namespace() {
  return Fd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
}

// A packet socket of a device; frames leave by it as they are.
Fd packet_socket(const std::string& device) {
  Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  sockaddr_ll to = {};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0) << device;
  return fd;
}

// The pod's end of pod A's device, up and silent. Leaves the namespace as it was.
Fd socket_of_pod_a() {
  const Fd home = this_namespace();
  EXPECT_EQ(setns(network().pods.get(), CLONE_NEWNET), 0);
  shell("echo 1 > /proc/sys/net/ipv6/conf/eth-a/disable_ipv6 && ip link set eth-a up");
  Fd fd = packet_socket("eth-a");
  EXPECT_EQ(setns(home.get(), CLONE_NEWNET), 0);
  return fd;
}

// With `tags` in front of the EtherType, the outermost first.
Bytes tagged(const Bytes& frame, const std::vector<uint16_t>& tags) {
  Bytes out(frame.begin(), frame.begin() + 12);
  for (const uint16_t tag : tags) {
    append16(out, kVlan);
    append16(out, tag);
  }
  out.insert(out.end(), frame.begin() + 12, frame.end());
  return out;
}

class Wire : public ProgTest {
 protected:
  void attach(Program program, uint32_t ifindex) {
    link_ = Fd(bpf_link_create(rig.program_fd(program), static_cast<int>(ifindex), BPF_TCX_INGRESS,
                               nullptr));
  }
  bool attached() const { return link_.valid(); }
  // Sends and waits until the program at `at` has decided about it.
  void send(const Fd& socket, const Bytes& frame, hook at) {
    const uint64_t before = decided(at);
    ASSERT_EQ(::send(socket.get(), frame.data(), frame.size(), 0),
              static_cast<ssize_t>(frame.size()));
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (decided(at) == before && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_EQ(decided(at), before + 1) << "the frame has not come to the program";
  }
  uint64_t count(hook at, verdict what) { return rig.verdicts(at, what).packets; }

 private:
  uint64_t decided(hook at) {
    return count(at, VERDICT_FORWARDED) + count(at, VERDICT_REDIRECTED) +
           count(at, VERDICT_DROPPED);
  }
  Fd link_;
};

#define ATTACH_OR_SKIP(program, ifindex) \
  attach(program, ifindex);              \
  if (!attached()) GTEST_SKIP() << "no TCX on this kernel (6.6)"

class WireBoth : public Wire, public testing::WithParamInterface<Family> {
 protected:
  const World& w = world(GetParam());
};
IN_BOTH_FAMILIES(WireBoth);

TEST_P(WireBoth, APodsFrameWithAVlanTagIsDroppedWhateverItsNumber) {
  ATTACH_OR_SKIP(Program::kPodEgress, devices.pod_a);
  const Fd pod = socket_of_pod_a();
  const Bytes plain =
      frame(kFromA, Ip{.src = w.pod_a, .dst = w.native}, Udp{.sport = 1, .dport = 2});
  send(pod, plain, HOOK_POD_EGRESS);
  ASSERT_EQ(count(HOOK_POD_EGRESS, VERDICT_REDIRECTED), 1U) << "the same without a tag passes";

  send(pod, tagged(plain, {5}), HOOK_POD_EGRESS);
  send(pod, tagged(plain, {0xe000}), HOOK_POD_EGRESS);
  send(pod, tagged(plain, {0, 5}), HOOK_POD_EGRESS);

  EXPECT_EQ(rig.drops(devices.pod_a, HOOK_POD_EGRESS, DROP_UNSUPPORTED_L2).packets, 3U);
  EXPECT_EQ(count(HOOK_POD_EGRESS, VERDICT_REDIRECTED), 1U);
}

TEST_F(Wire, APodsArpWithAVlanTagIsNotAnswered) {
  ATTACH_OR_SKIP(Program::kPodEgress, devices.pod_a);
  const Fd pod = socket_of_pod_a();
  const World& w = world(Family::kIpv4);
  const Bytes ask =
      frame(kFromA, Arp{.sender_mac = kPodMacA, .sender = w.pod_a, .target = w.gateway});

  send(pod, tagged(ask, {5}), HOOK_POD_EGRESS);

  EXPECT_EQ(rig.drops(devices.pod_a, HOOK_POD_EGRESS, DROP_UNSUPPORTED_L2).packets, 1U);
}

TEST_P(WireBoth, N14_ATaggedFrameFromTheWireIsTheHostsNotThePods) {
  ATTACH_OR_SKIP(Program::kUplinkIngress, devices.uplink);
  const Fd wire = packet_socket("wire");
  const Bytes plain =
      frame(kFromWire, Ip{.src = w.native, .dst = w.pod_a}, Udp{.sport = 1, .dport = 2});

  send(wire, tagged(plain, {5}), HOOK_UPLINK_INGRESS);
  send(wire, tagged(plain, {5, 6}), HOOK_UPLINK_INGRESS);

  EXPECT_EQ(count(HOOK_UPLINK_INGRESS, VERDICT_FORWARDED), 2U);
  EXPECT_TRUE(rig.keys<ct_key>("sl_ct").empty());
}

TEST_P(WireBoth, ATagThatIsOnlyAPriorityIsNoVlanSoItHidesNoForgedSource) {
  ATTACH_OR_SKIP(Program::kUplinkIngress, devices.uplink);
  const Fd wire = packet_socket("wire");
  const auto by = [&](const Address& src) {
    return tagged(frame(kFromWire, Ip{.src = src, .dst = w.pod_a}, Udp{.sport = 1, .dport = 2}),
                  {0xe000});
  };

  send(wire, by(w.native), HOOK_UPLINK_INGRESS);
  send(wire, by(w.pod_b), HOOK_UPLINK_INGRESS);

  EXPECT_EQ(count(HOOK_UPLINK_INGRESS, VERDICT_REDIRECTED), 1U);
  EXPECT_EQ(rig.drops(devices.uplink, HOOK_UPLINK_INGRESS, DROP_SPOOFED_SOURCE).packets, 1U);
}

// VXLAN, RFC 7348 5, as node `from` sends it.
Bytes encapsulated(const Address& from, const Bytes& inner, uint8_t vni = kTunnelId) {
  Bytes payload = {0x08, 0, 0, 0, 0, 0, vni, 0};
  append(payload, inner);
  return frame(kFromWire, Ip{.src = from, .dst = world(Family::kIpv4).node},
               Udp{.sport = 5555, .dport = TUNNEL_PORT, .payload = payload});
}

TEST_P(WireBoth, ATunnelledPacketIsTakenFromTheNodeThatOwnsItsSourceOnly) {
  ATTACH_OR_SKIP(Program::kUplinkIngress, devices.overlay);
  const Fd wire = packet_socket("wire");
  const Bytes inner =
      frame(kFromWire, Ip{.src = w.tunnelled, .dst = w.pod_a}, Udp{.sport = 1, .dport = 2});

  send(wire, encapsulated(addr("192.0.2.2"), inner), HOOK_UPLINK_INGRESS);
  EXPECT_EQ(rig.drops(devices.overlay, HOOK_UPLINK_INGRESS, DROP_TUNNEL_UNKNOWN_NODE).packets, 1U);
  send(wire, encapsulated(kTunnelPeer, inner, kTunnelId + 1), HOOK_UPLINK_INGRESS);
  EXPECT_EQ(rig.drops(devices.overlay, HOOK_UPLINK_INGRESS, DROP_TUNNEL_UNKNOWN_NODE).packets, 2U);
  send(wire, encapsulated(kTunnelPeer, inner), HOOK_UPLINK_INGRESS);
  EXPECT_EQ(count(HOOK_UPLINK_INGRESS, VERDICT_REDIRECTED), 1U);
}

TEST_P(WireBoth, N14_AFrameForAnotherMachineIsLeftAlone) {
  ATTACH_OR_SKIP(Program::kUplinkIngress, devices.uplink);
  const Fd wire = packet_socket("wire");
  const Ethernet elsewhere = {.dst = {{2, 0, 0, 0, 0x12, 0x34}}, .src = kRouterMac};

  send(wire, frame(elsewhere, Ip{.src = w.native, .dst = w.pod_a}, Udp{.sport = 1, .dport = 2}),
       HOOK_UPLINK_INGRESS);

  EXPECT_EQ(count(HOOK_UPLINK_INGRESS, VERDICT_FORWARDED), 1U);
}

}  // namespace
}  // namespace sluice::test
