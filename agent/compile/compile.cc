// SPDX-License-Identifier: Apache-2.0
// Desired state to the rows that the kernel should hold.
#include "agent/compile/compile.h"

#include <algorithm>
#include <array>
#include <limits>

#include "agent/compile/identities.h"
#include "agent/compile/underlay.h"
#include "agent/desired/ipv6_mtu.h"
#include "agent/desired/pod_of.h"

namespace sluice {
namespace {

ip_addr to_abi_or_zero(const std::optional<Address>& address) {
  return address ? to_abi(*address) : ip_addr{};
}

void copy_mac(const Mac& mac, __u8 (&to)[6]) {
  std::copy(mac.bytes.begin(), mac.bytes.end(), to);
}

void add_config(const NodeSettings& settings, Rows& rows) {
  rows.config.ipv4 = settings.ipv4 ? 1 : 0;
  rows.config.ipv6 = settings.ipv6 ? 1 : 0;
  // By what may come, not by what is: a first far node must not mean loading the programs anew.
  rows.config.overlay = settings.routing == Routing::kNative ? 0 : 1;
  rows.config.translate = settings.translate ? 1 : 0;
  rows.config.events = 1;
}

void add_overlay_need(const Desired& desired, Rows& rows) {
  rows.needs_overlay =
      desired.settings.routing == Routing::kVxlan ||
      std::any_of(rows.identities.begin(), rows.identities.end(),
                  [](const auto& entry) { return (entry.second.flags & ADDRESS_TUNNEL) != 0; });
}

void leave_room_for_overlay(const Underlay& underlay, Rows& rows) {
  bool over_ipv6 = !underlay.tunnel_source().is_ipv4() && underlay.tunnel_source().is_set();
  for (const auto& [prefix, row] : rows.identities) {
    if ((row.flags & ADDRESS_TUNNEL) != 0 && !from_abi(row.node).is_ipv4()) over_ipv6 = true;
  }
  const uint32_t overhead = over_ipv6 ? kVxlanOverheadIpv6 : kVxlanOverheadIpv4;
  if (rows.pod_mtu > overhead) rows.pod_route_mtu = rows.pod_mtu - overhead;
}

void add_mtu(const Desired& desired, const Underlay& underlay, Rows& rows) {
  uint32_t smallest = std::numeric_limits<uint32_t>::max();
  for (const Uplink& uplink : desired.uplinks) {
    if (uplink.mtu != 0) smallest = std::min(smallest, uplink.mtu);
  }
  if (smallest == std::numeric_limits<uint32_t>::max()) smallest = kMtuWithoutUplink;
  rows.pod_mtu = desired.settings.mtu != 0 ? desired.settings.mtu : smallest;
  rows.pod_route_mtu = rows.pod_mtu;
  if (rows.needs_overlay) leave_room_for_overlay(underlay, rows);
  rows.ipv6_fits = !desired.settings.ipv6 || rows.pod_route_mtu >= kIpv6MtuMin;
}

void add_node(const Desired& desired, const Underlay& underlay, Rows& rows) {
  rows.node.overlay_ifindex = rows.needs_overlay ? desired.overlay_ifindex : 0;
  rows.node.tunnel_id = desired.settings.tunnel_id;
  rows.node.snat_port_min = desired.settings.snat_port_min;
  rows.node.snat_port_max = desired.settings.snat_port_max;
  rows.node.gateway4 = to_abi(*parse_address(kGatewayIpv4));
  rows.node.gateway6 = to_abi(*parse_address(kGatewayIpv6));
  rows.node.tunnel_source = to_abi(underlay.tunnel_source());
}

// Names the ways to other nodes: where they change, programs find the way of open flows again.
// FNV-1a over the rows that say so; the order is the map's.
void add_revision(Rows& rows) {
  uint32_t hash = 2166136261U;
  const auto mix = [&hash](const auto& bytes) {
    for (const uint8_t byte : bytes) hash = (hash ^ byte) * 16777619U;
  };
  for (const auto& [prefix, row] : rows.identities) {
    if ((row.flags & (ADDRESS_REMOTE_POD | ADDRESS_REMOTE_NODE)) == 0) continue;
    // A pod's own row repeats its node's way.
    if ((row.flags & ADDRESS_REMOTE_POD) != 0 && prefix.length == 128) continue;
    mix(prefix.address.bytes);
    mix(row.node.bytes);
    mix(std::array{prefix.length, static_cast<uint8_t>(row.flags)});
  }
  rows.node.policy_revision = hash;
}

void add_endpoint(const Desired& desired, const LocalEndpoint& endpoint, Rows& rows) {
  if (endpoint.ifindex == 0) return;
  endpoint_row row{};
  row.ipv4 = to_abi_or_zero(endpoint.ipv4);
  row.ipv6 = to_abi_or_zero(endpoint.ipv6);
  row.identity = pod_of(desired, endpoint).identity;
  copy_mac(endpoint.pod_mac, row.pod_mac);
  copy_mac(endpoint.host_mac, row.host_mac);
  rows.endpoints[endpoint.ifindex] = row;
  rows.attachments[endpoint.ifindex] = DeviceRole::kPod;
  uint32_t mtu = endpoint.mtu == 0 ? rows.pod_mtu : std::min(endpoint.mtu, rows.pod_mtu);
  // One that has IPv6 keeps it while the uplink's MTU is too small: it would not come back with it.
  if (endpoint.ipv6) mtu = std::max(mtu, kIpv6MtuMin);
  if (mtu != rows.pod_mtu) rows.own_mtus[endpoint.ifindex] = mtu;
  for (const auto& address : {endpoint.ipv4, endpoint.ipv6}) {
    if (!address) continue;
    rows.routes.push_back({.destination = host_prefix(*address), .ifindex = endpoint.ifindex});
    rows.neighbours.push_back(
        {.ifindex = endpoint.ifindex, .address = *address, .mac = endpoint.pod_mac});
  }
}

void add_devices(const Desired& desired, const Underlay& underlay, Rows& rows) {
  for (const Uplink& uplink : desired.uplinks) {
    device_row row{};
    for (const bool ipv4 : {true, false}) {
      Address address = first_of_family(uplink.addresses, ipv4);
      // An unnumbered uplink: the node's address is on another device, and answers to it come back
      // all the same.
      if (!address.is_set()) address = underlay.own_address(ipv4);
      (ipv4 ? row.ipv4 : row.ipv6) = to_abi(address);
    }
    rows.devices[uplink.ifindex] = row;
    rows.attachments[uplink.ifindex] = DeviceRole::kUplink;
  }
  if (rows.node.overlay_ifindex == 0) return;
  device_row row{};
  row.flags = DEVICE_OVERLAY;
  rows.devices[rows.node.overlay_ifindex] = row;
  rows.attachments[rows.node.overlay_ifindex] = DeviceRole::kOverlay;
}

// The host's own way to the pods of another node; packets of pods are sent by the programs.
void add_node_routes(const Desired& desired, const Underlay& underlay, const NodeIntent& node,
                     Rows& rows) {
  for (const Prefix& cidr : node.pod_cidrs) {
    const bool ipv4 = cidr.is_ipv4();
    if (!(ipv4 ? desired.settings.ipv4 : desired.settings.ipv6)) continue;
    const Reach reach = underlay.reach(node, ipv4);
    if (reach.tunnel && !ipv4 && !rows.ipv6_fits) continue;  // the overlay device has no IPv6
    if (reach.tunnel && rows.node.overlay_ifindex != 0) {
      rows.routes.push_back({.destination = cidr,
                             .ifindex = rows.node.overlay_ifindex,
                             .via = {},
                             .source = underlay.own_address(ipv4),
                             .mtu = rows.pod_route_mtu});
    } else if (!reach.tunnel && reach.ifindex != 0) {
      rows.routes.push_back({.destination = cidr,
                             .ifindex = reach.ifindex,
                             .via = reach.node,
                             .source = reach.source,
                             .mtu = 0});
    }
  }
}

}  // namespace

Rows compile(const Desired& desired) {
  return compile(desired, PodChanges{}, Rows{});
}

Rows compile(const Desired& desired, const PodChanges& changes, Rows before) {
  const Underlay underlay(desired);
  Rows rows;
  add_config(desired.settings, rows);
  if (changes.all || changes.besides) {
    rows.identities = identity_rows(desired, underlay);
  } else {
    rows.identities = std::move(before.identities);
    change_identity_rows(desired, underlay, changes, rows.identities);
  }
  add_overlay_need(desired, rows);
  add_mtu(desired, underlay, rows);
  add_node(desired, underlay, rows);
  add_revision(rows);
  for (const LocalEndpoint& endpoint : desired.endpoints) add_endpoint(desired, endpoint, rows);
  add_devices(desired, underlay, rows);
  for (const NodeIntent& node : desired.intent.nodes) {
    if (!underlay.is_this_node(node)) add_node_routes(desired, underlay, node, rows);
  }
  std::sort(rows.routes.begin(), rows.routes.end());
  std::sort(rows.neighbours.begin(), rows.neighbours.end());
  return rows;
}

}  // namespace sluice
