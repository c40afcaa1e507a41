// SPDX-License-Identifier: Apache-2.0
// The cast, and its rows.
#include "tests/prog/world.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace sluice::test {

namespace {

Prefix range(const char* text) {
  return parse_prefix(text).value();
}

World make(Family family) {
  if (family == Family::kIpv4)
    return {.family = family,
            .pod_a = addr("10.1.0.10"),
            .pod_b = addr("10.1.0.20"),
            .node = addr("192.0.2.1"),
            .native = addr("10.2.0.5"),
            .tunnelled = addr("10.3.0.5"),
            .outside = addr("203.0.113.9"),
            .blackhole = addr("198.51.100.1"),
            .unreachable = addr("198.51.101.1"),
            .unused = addr("10.1.0.99"),
            .gateway = addr("169.254.1.1"),
            .spoofed = addr("10.1.0.66")};
  return {.family = family,
          .pod_a = addr("fd00:1::10"),
          .pod_b = addr("fd00:1::20"),
          .node = addr("2001:db8:1::1"),
          .native = addr("fd00:2::5"),
          .tunnelled = addr("fd00:3::5"),
          .outside = addr("2001:db8:9::9"),
          .blackhole = addr("2001:db8:dead::1"),
          .unreachable = addr("2001:db8:beef::1"),
          .unused = addr("fd00:1::99"),
          .gateway = addr("fe80::1"),
          .spoofed = addr("fd00:1::66")};
}

endpoint_row endpoint(const World& v4, const World& v6, bool is_a) {
  endpoint_row row = {};
  row.ipv4 = to_abi(is_a ? v4.pod_a : v4.pod_b);
  row.ipv6 = to_abi(is_a ? v6.pod_a : v6.pod_b);
  row.identity = is_a ? kIdentityA : kIdentityB;
  std::copy_n((is_a ? kPodMacA : kPodMacB).bytes.begin(), 6, row.pod_mac);
  std::copy_n((is_a ? kHostMacA : kHostMacB).bytes.begin(), 6, row.host_mac);
  return row;
}

identity_row identity(uint32_t number, uint32_t flags, uint32_t ifindex = 0) {
  identity_row row = {};
  row.identity = number;
  row.flags = flags;
  row.ifindex = ifindex;
  return row;
}

}  // namespace

const World& world(Family family) {
  static const World v4 = make(Family::kIpv4);
  static const World v6 = make(Family::kIpv6);
  return family == Family::kIpv4 ? v4 : v6;
}

std::string family_name(Family family) {
  return family == Family::kIpv4 ? "Ipv4" : "Ipv6";
}

void PrintTo(const Family& family, std::ostream* out) {
  *out << family_name(family);
}

endpoint_row endpoint_a() {
  return endpoint(world(Family::kIpv4), world(Family::kIpv6), true);
}

endpoint_row endpoint_b() {
  return endpoint(world(Family::kIpv4), world(Family::kIpv6), false);
}

node_row node_settings() {
  node_row row = {};
  row.overlay_ifindex = network().devices.overlay;
  row.policy_revision = 1;
  row.tunnel_id = kTunnelId;
  row.snat_port_min = kSnatMin;
  row.snat_port_max = kSnatMax;
  row.gateway4 = to_abi(world(Family::kIpv4).gateway);
  row.gateway6 = to_abi(world(Family::kIpv6).gateway);
  row.tunnel_source = to_abi(world(Family::kIpv4).node);
  return row;
}

void put_identity(Rig& rig, const Prefix& prefix, const identity_row& row) {
  identity_key key = {};
  key.prefix_bits = prefix.length;
  std::copy(prefix.address.bytes.begin(), prefix.address.bytes.end(), key.addr);
  rig.put("sl_identity", key, row);
}

void fill(Rig& rig) {
  const Devices& devices = network().devices;
  rig.put("sl_endpoint", devices.pod_a, endpoint_a());
  rig.put("sl_endpoint", devices.pod_b, endpoint_b());
  rig.put("sl_node", uint32_t{0}, node_settings());
  device_row uplink = {};
  uplink.ipv4 = to_abi(world(Family::kIpv4).node);
  uplink.ipv6 = to_abi(world(Family::kIpv6).node);
  rig.put("sl_device", devices.uplink, uplink);
  device_row overlay = {};
  overlay.flags = DEVICE_OVERLAY;
  rig.put("sl_device", devices.overlay, overlay);
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const World& w = world(family);
    const bool is_v6 = w.is_v6();
    put_identity(rig, host_prefix(w.pod_a), identity(kIdentityA, ADDRESS_LOCAL_POD, devices.pod_a));
    put_identity(rig, host_prefix(w.pod_b), identity(kIdentityB, ADDRESS_LOCAL_POD, devices.pod_b));
    put_identity(rig, host_prefix(w.node), identity(IDENTITY_HOST, ADDRESS_THIS_NODE));
    put_identity(rig, range(is_v6 ? "fd00:1::/64" : "10.1.0.0/24"),
                 identity(IDENTITY_UNMANAGED, ADDRESS_LOCAL_POD));
    put_identity(rig, range(is_v6 ? "fd00:2::/64" : "10.2.0.0/24"),
                 identity(kIdentityRemote, ADDRESS_REMOTE_POD));
    identity_row tunnel = identity(kIdentityRemote, ADDRESS_REMOTE_POD | ADDRESS_TUNNEL);
    tunnel.node = to_abi(kTunnelPeer);
    put_identity(rig, range(is_v6 ? "fd00:3::/64" : "10.3.0.0/24"), tunnel);
    put_identity(rig, range(is_v6 ? "::/0" : "0.0.0.0/0"),
                 identity(IDENTITY_WORLD, ADDRESS_TRANSLATE));
  }
}

ct_key flow_key(const Ip& ip, uint8_t proto, uint16_t sport, uint16_t dport) {
  ip_addr src = to_abi(ip.src);
  ip_addr dst = to_abi(ip.dst);
  const auto halves = [](const ip_addr& a) { return std::pair(a.halves[1], a.halves[0]); };
  const bool from_a = src.halves[1] != dst.halves[1] || src.halves[0] != dst.halves[0]
                          ? halves(src) < halves(dst)
                          : htons(sport) <= htons(dport);
  ct_key key = {};
  key.addr_a = from_a ? src : dst;
  key.addr_b = from_a ? dst : src;
  key.port_a_be = htons(from_a ? sport : dport);
  key.port_b_be = htons(from_a ? dport : sport);
  key.proto = proto;
  return key;
}

}  // namespace sluice::test
