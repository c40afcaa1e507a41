// SPDX-License-Identifier: Apache-2.0
// Every reason for a drop: reached by a named case, counted by device and hook, told once in the
// ring; and how often the drops of one flow are told.
#include <algorithm>
#include <functional>
#include <set>

#include "tests/prog/fixture.h"

namespace sluice::test {
namespace {

constexpr uint32_t kTableRows = 4;  // of sl_ct and sl_nat, so that they can be full

Rig& small_rig() {
  network();
  static Rig rig(RigOptions{.max_entries = {{"sl_ct", kTableRows}, {"sl_nat", kTableRows}}});
  rig.clear();
  return rig;
}

struct Case {
  const char* name;
  drop_reason reason;
  Program program;
  uint32_t Devices::* device;
  std::function<Bytes(const World&)> packet;
  std::function<void(Rig&, const World&)> arrange = nullptr;
  uint32_t mark = 0;
  std::vector<Family> families = {Family::kIpv4, Family::kIpv6};
};

hook hook_of(Program program) {
  switch (program) {
    case Program::kPodEgress:
      return HOOK_POD_EGRESS;
    case Program::kPodIngress:
      return HOOK_POD_INGRESS;
    case Program::kUplinkIngress:
      return HOOK_UPLINK_INGRESS;
    default:
      return HOOK_UPLINK_EGRESS;
  }
}

using Pick = Address World::*;

auto udp(const Ethernet& ethernet, Pick src, Pick dst) {
  return [=](const World& w) {
    return frame(ethernet, Ip{.src = w.*src, .dst = w.*dst}, Udp{.sport = 1000, .dport = 53});
  };
}
auto from_a_to(Pick dst) {
  return udp(kFromA, &World::pod_a, dst);
}
auto from_wire_by(Pick src) {
  return udp(kFromWire, src, &World::pod_a);
}
auto cut(const Ethernet& ethernet, Pick src, Pick dst) {
  return [=](const World& w) { return shortened(udp(ethernet, src, dst)(w), w.is_v6() ? 58 : 38); };
}
auto later_fragment(const Ethernet& ethernet, Pick src, Pick dst) {
  return [=](const World& w) {
    const Bytes whole =
        frame(ethernet, Ip{.src = w.*src, .dst = w.*dst}, Udp{.payload = Bytes(64, 1)});
    return fragments(whole, 32, 7)[1];
  };
}
auto lldp(const Ethernet& ethernet) {
  return [=](const World&) { return frame(ethernet, 0x88cc, Bytes(46)); };
}
// About a packet that nobody here has sent.
auto error_about_nothing(const Ethernet& ethernet, Pick src, Pick dst) {
  return [=](const World& w) {
    const Bytes quote = packet(Ip{.src = w.*dst, .dst = w.*src}, Udp{.sport = 999, .dport = 999});
    return frame(ethernet, Ip{.src = w.*src, .dst = w.*dst},
                 icmp_error(w.is_v6(), ErrorKind::kUnreachable, quote));
  };
}
auto with_extensions(std::vector<Extension> extensions) {
  return [=](const World& w) {
    return frame(kFromA, Ip{.src = w.pod_a, .dst = w.pod_b, .extensions = extensions}, Udp{});
  };
}
Bytes arp_for_pod_b(const World& w) {
  return frame(kFromA, Arp{.sender_mac = kPodMacA, .sender = w.pod_a, .target = w.pod_b});
}
Bytes solicitation_for_pod_b(const World& w) {
  return frame(kFromA, Ip{.src = w.pod_a, .dst = solicited_node(w.pod_b), .ttl = 255},
               neighbour_solicitation(w.pod_b, kPodMacA));
}

void fill_ct(Rig& rig, const World&) {
  for (uint32_t i = 0; i < kTableRows; i++) {
    ct_key key = {};
    key.port_a_be = static_cast<__be16>(i);
    rig.put("sl_ct", key, ct_entry{});
  }
}
void fill_nat(Rig& rig, const World&) {
  for (uint32_t i = 0; i < kTableRows; i++) {
    nat_key key = {};
    key.node_port_be = static_cast<__be16>(i);
    rig.put("sl_nat", key, nat_row{});
  }
}
void isolate_a(Rig& rig, const World&) {
  endpoint_row row = endpoint_a();
  row.flags = ENDPOINT_ISOLATED_EGRESS | ENDPOINT_ISOLATED_INGRESS;
  rig.put("sl_endpoint", network().devices.pod_a, row);
}
void isolate_b(Rig& rig, const World&) {
  endpoint_row row = endpoint_b();
  row.flags = ENDPOINT_ISOLATED_INGRESS;
  rig.put("sl_endpoint", network().devices.pod_b, row);
}
void forget_the_world(Rig& rig, const World&) {
  for (const identity_key& key : rig.keys<identity_key>("sl_identity")) {
    const auto row = rig.get<identity_row>("sl_identity", key);
    if (row->identity == IDENTITY_WORLD) rig.erase("sl_identity", key);
  }
}
void without_pod_a(Rig& rig, const World&) {
  rig.erase("sl_endpoint", network().devices.pod_a);
}
void without_overlay(Rig& rig, const World&) {
  node_row row = node_settings();
  row.overlay_ifindex = 0;
  rig.put("sl_node", uint32_t{0}, row);
}
void without_uplink_address(Rig& rig, const World&) {
  rig.put("sl_device", network().devices.uplink, device_row{});
}
// The flow that a marked packet belongs to.
void open_flow(Rig& rig, const World& w) {
  rig.run(Program::kPodEgress, from_a_to(&World::outside)(w), network().devices.pod_a);
}
Bytes gre_out(const World& w) {
  return frame(kFromA, Ip{.src = w.pod_a, .dst = w.outside}, Raw{kProtoGre, Bytes(16)});
}
void open_gre_flow(Rig& rig, const World& w) {
  rig.run(Program::kPodEgress, gre_out(w), network().devices.pod_a);
}
void one_port_that_is_taken(Rig& rig, const World& w) {
  node_row row = node_settings();
  row.snat_port_min = row.snat_port_max = kSnatMin;
  rig.put("sl_node", uint32_t{0}, row);
  open_flow(rig, w);
  nat_key key = {};
  key.remote = to_abi(w.outside);
  key.node = to_abi(w.node);
  key.remote_port_be = __builtin_bswap16(53);
  key.node_port_be = __builtin_bswap16(kSnatMin);
  key.proto = kProtoUdp;
  rig.put("sl_nat", key, nat_row{});
}
void open_flow_without_room(Rig& rig, const World& w) {
  open_flow(rig, w);
  fill_nat(rig, w);
}
void open_flow_that_another_cpu_translates(Rig& rig, const World& w) {
  open_flow(rig, w);
  const ct_key key = rig.keys<ct_key>("sl_ct").at(0);
  ct_entry entry = rig.get<ct_entry>("sl_ct", key).value();
  entry.nat_state = CT_NAT_CHOSEN | 1U;
  rig.put("sl_ct", key, entry);
}
void open_flow_without_address(Rig& rig, const World& w) {
  open_flow(rig, w);
  without_uplink_address(rig, w);
}

const std::vector<Family> kOnlyIpv4 = {Family::kIpv4};
const std::vector<Family> kOnlyIpv6 = {Family::kIpv6};
constexpr Program kOut = Program::kPodEgress;
constexpr Program kIn = Program::kPodIngress;
constexpr Program kReceive = Program::kUplinkIngress;
constexpr Program kTransmit = Program::kUplinkEgress;
constexpr auto kPodA = &Devices::pod_a;
constexpr auto kStranger = &Devices::stranger;
constexpr auto kUplink = &Devices::uplink;
constexpr auto kOverlay = &Devices::overlay;

std::vector<Case> from_the_pod() {
  const Extension routing = {.type = kExtRouting, .body = {0, 1}};
  const auto to = from_a_to;
  return {
      {"OfADeviceWithoutPod", DROP_NO_ENDPOINT, kOut, kStranger, to(&World::pod_b)},
      {"ACutHeader", DROP_INVALID_PACKET, kOut, kPodA, cut(kFromA, &World::pod_a, &World::pod_b)},
      {"AnErrorAboutAnothersPacket", DROP_INVALID_PACKET, kOut, kPodA,
       [](const World& w) {
         const Bytes quote = packet(Ip{.src = w.pod_b, .dst = w.native}, Udp{});
         return frame(kFromA, Ip{.src = w.pod_a, .dst = w.native},
                      icmp_error(w.is_v6(), ErrorKind::kTooBig, quote));
       }},
      {"NeitherArpNorIp", DROP_UNSUPPORTED_L2, kOut, kPodA, lldp(kFromA)},
      {"AForeignSource", DROP_SPOOFED_SOURCE, kOut, kPodA,
       udp(kFromA, &World::spoofed, &World::pod_b)},
      {"ArpForAnotherThanTheGateway", DROP_NOT_THE_GATEWAY, kOut, kPodA, arp_for_pod_b, nullptr, 0,
       kOnlyIpv4},
      {"NdpForAnotherThanTheGateway", DROP_NOT_THE_GATEWAY, kOut, kPodA, solicitation_for_pod_b,
       nullptr, 0, kOnlyIpv6},
      {"TooManyExtensionHeaders", DROP_IPV6_EXTENSION, kOut, kPodA,
       with_extensions(std::vector<Extension>(IPV6_EXT_HEADERS_MAX + 1)), nullptr, 0, kOnlyIpv6},
      {"ASourceRoute", DROP_IPV6_EXTENSION, kOut, kPodA, with_extensions({routing}), nullptr, 0,
       kOnlyIpv6},
      {"ALaterFragmentAlone", DROP_FRAGMENT_UNKNOWN, kOut, kPodA,
       later_fragment(kFromA, &World::pod_a, &World::pod_b)},
      {"AFullFlowTable", DROP_CT_FULL, kOut, kPodA, to(&World::pod_b), fill_ct},
      {"AnIsolatedSender", DROP_POLICY_DENY, kOut, kPodA, to(&World::pod_b), isolate_a},
      {"AnIsolatedReceiver", DROP_POLICY_DENY, kOut, kPodA, to(&World::pod_b), isolate_b},
      {"ADestinationWithoutIdentity", DROP_NO_IDENTITY, kOut, kPodA, to(&World::outside),
       forget_the_world},
      {"ABlackhole", DROP_NO_ROUTE, kOut, kPodA, to(&World::blackhole)},
      {"AnAddressOfNoPodOnThisNode", DROP_ENDPOINT_GONE, kOut, kPodA, to(&World::unused)},
      {"ATunnelWithoutDevice", DROP_TUNNEL_FAILED, kOut, kPodA, to(&World::tunnelled),
       without_overlay},
      {"AFakedTunnelPacket", DROP_TUNNEL_PORT, kOut, kPodA,
       [](const World& w) {
         return frame(kFromA, Ip{.src = w.pod_a, .dst = w.outside}, Udp{7, TUNNEL_PORT});
       }},
      {"AnErrorAboutNothing", DROP_FLOW_UNKNOWN, kOut, kPodA,
       error_about_nothing(kFromA, &World::pod_a, &World::native)}};
}

std::vector<Case> to_the_pod() {
  const auto by = [](Pick src, Pick dst) {
    return udp(Ethernet{.dst = kPodMacA, .src = kHostMacA}, src, dst);
  };
  return {
      {"ToADeviceWithoutPod", DROP_NO_ENDPOINT, kIn, kStranger, by(&World::node, &World::pod_a)},
      {"ACutHeaderToThePod", DROP_INVALID_PACKET, kIn, kPodA,
       cut(kToA, &World::node, &World::pod_a)},
      {"NeitherArpNorIpToThePod", DROP_UNSUPPORTED_L2, kIn, kPodA, lldp(kToA)},
      {"ToThePodOfAnotherAddress", DROP_NOT_FOR_POD, kIn, kPodA, by(&World::node, &World::pod_b)},
      {"ALaterFragmentAloneToThePod", DROP_FRAGMENT_UNKNOWN, kIn, kPodA,
       later_fragment(kToA, &World::node, &World::pod_a)},
      {"AFullFlowTableToThePod", DROP_CT_FULL, kIn, kPodA, by(&World::node, &World::pod_a),
       fill_ct},
      {"ASourceWithoutIdentityToThePod", DROP_NO_IDENTITY, kIn, kPodA,
       by(&World::outside, &World::pod_a), forget_the_world},
      {"AnIsolatedPod", DROP_POLICY_DENY, kIn, kPodA, by(&World::outside, &World::pod_a),
       isolate_a}};
}

std::vector<Case> from_the_wire() {
  return {{"ALocalPodsSourceFromTheWire", DROP_SPOOFED_SOURCE, kReceive, kUplink,
           from_wire_by(&World::pod_b)},
          {"TheNodesOwnSourceFromTheWire", DROP_SPOOFED_SOURCE, kReceive, kUplink,
           from_wire_by(&World::node)},
          {"ALaterFragmentAloneFromTheWire", DROP_FRAGMENT_UNKNOWN, kReceive, kUplink,
           later_fragment(kFromWire, &World::native, &World::pod_a)},
          {"AFullFlowTableFromTheWire", DROP_CT_FULL, kReceive, kUplink,
           from_wire_by(&World::native), fill_ct},
          {"AnIsolatedPodFromTheWire", DROP_POLICY_DENY, kReceive, kUplink,
           from_wire_by(&World::native), isolate_a},
          {"ASourceWithoutIdentityFromTheWire", DROP_NO_IDENTITY, kReceive, kUplink,
           from_wire_by(&World::outside), forget_the_world},
          {"APodThatIsGoneFromTheWire", DROP_ENDPOINT_GONE, kReceive, kUplink,
           from_wire_by(&World::native), without_pod_a},
          {"AnErrorAboutNothingFromTheWire", DROP_FLOW_UNKNOWN, kReceive, kUplink,
           error_about_nothing(kFromWire, &World::native, &World::pod_a)},
          // Nobody encapsulated it: tests/prog/wire_test.cc has the real device and a wrong node.
          {"AnOverlayPacketWithoutMetadata", DROP_TUNNEL_UNKNOWN_NODE, kReceive, kOverlay,
           from_wire_by(&World::tunnelled)}};
}

std::vector<Case> to_the_wire() {
  const auto out = from_a_to(&World::outside);
  return {{"ACutMarkedPacket", DROP_INVALID_PACKET, kTransmit, kUplink,
           cut(kFromA, &World::pod_a, &World::outside), nullptr, MARK_TRANSLATE},
          {"AMarkedPacketOfNoFlow", DROP_FLOW_UNKNOWN, kTransmit, kUplink, out, nullptr,
           MARK_TRANSLATE},
          {"AMarkedLaterFragmentAlone", DROP_FRAGMENT_UNKNOWN, kTransmit, kUplink,
           later_fragment(kFromA, &World::pod_a, &World::outside), nullptr, MARK_TRANSLATE},
          {"AllPortsTaken", DROP_SNAT_EXHAUSTED, kTransmit, kUplink, out, one_port_that_is_taken,
           MARK_TRANSLATE},
          {"AProtocolWithoutPorts", DROP_SNAT_NO_PORT, kTransmit, kUplink, gre_out, open_gre_flow,
           MARK_TRANSLATE},
          {"AnUplinkWithoutAddress", DROP_SNAT_NO_ADDRESS, kTransmit, kUplink, out,
           open_flow_without_address, MARK_TRANSLATE},
          {"AFullTranslationTable", DROP_CT_FULL, kTransmit, kUplink, out, open_flow_without_room,
           MARK_TRANSLATE},
          {"ATranslationThatIsBeingWritten", DROP_SNAT_UNDECIDED, kTransmit, kUplink, out,
           open_flow_that_another_cpu_translates, MARK_TRANSLATE},
          {"AStackPacketIntoTheOverlayForNoNodeBehindIt", DROP_NO_ROUTE, kTransmit, kOverlay,
           udp(kFromWire, &World::node, &World::outside)},
          {"ACutStackPacketIntoTheOverlay", DROP_INVALID_PACKET, kTransmit, kOverlay,
           cut(kFromWire, &World::node, &World::tunnelled)}};
}

// No input reaches these; each says why.
const std::map<drop_reason, std::string> kUnreachable = {
    {DROP_WRITE_FAILED,
     "the parser has fetched every byte that is written later: helpers refuse it only when memory "
     "runs out"}};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = [] {
    std::vector<Case> out;
    for (auto part : {from_the_pod, to_the_pod, from_the_wire, to_the_wire})
      for (Case& one : part()) out.push_back(std::move(one));
    return out;
  }();
  return all;
}

struct Run {
  const Case* one;
  Family family;
};

void PrintTo(const Run& run, std::ostream* out) {
  *out << run.one->name;
}

std::vector<Run> runs() {
  std::vector<Run> out;
  for (const Case& one : cases())
    for (const Family family : one.families) out.push_back({&one, family});
  return out;
}

std::vector<flow_event> drops_of(std::vector<flow_event> events) {
  std::erase_if(events, [](const flow_event& event) { return event.kind != EVENT_DROP; });
  return events;
}

class Drops : public ProgTest, public testing::WithParamInterface<Run> {
 protected:
  Drops() : ProgTest(small_rig()) {}
};
std::string name_of_run(const testing::TestParamInfo<Run>& run) {
  return run.param.one->name + family_name(run.param.family);
}
INSTANTIATE_TEST_SUITE_P(, Drops, testing::ValuesIn(runs()), name_of_run);

TEST_P(Drops, IsCountedAtItsDeviceAndHookAndToldOnce) {
  const Case& one = *GetParam().one;
  const World& w = world(GetParam().family);
  const uint32_t ifindex = devices.*one.device;
  const hook at = hook_of(one.program);
  if (one.arrange) one.arrange(rig, w);
  rig.events();
  const Bytes packet = one.packet(w);

  const Outcome outcome = run(one.program, packet, ifindex, one.mark);

  EXPECT_EQ(outcome.verdict, kShot);
  EXPECT_EQ(rig.keys<drop_key>("sl_drops").size(), 1U);
  EXPECT_EQ(rig.drops(ifindex, at, one.reason).packets, 1U);
  EXPECT_EQ(rig.drops(ifindex, at, one.reason).bytes, packet.size());
  EXPECT_EQ(rig.verdicts(at, VERDICT_DROPPED).packets, 1U);
  const std::vector<flow_event> told = drops_of(rig.events());
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].reason, one.reason);
  EXPECT_EQ(told[0].hook, at);
  EXPECT_EQ(told[0].ifindex, ifindex);
  EXPECT_EQ(told[0].suppressed, 0U);
}

TEST(DropReasons, EachIsReachedByACaseOrSaysWhyItCannotBe) {
  std::set<uint32_t> claimed;
  for (const Case& one : cases()) claimed.insert(one.reason);
#define X(name, number, hubble, text)                                     \
  EXPECT_NE(claimed.contains(number), kUnreachable.contains(DROP_##name)) \
      << #name " needs a case, or a line in kUnreachable that says why there is none";
  DROP_REASONS(X)
#undef X
}

}  // namespace
}  // namespace sluice::test
