// SPDX-License-Identifier: Apache-2.0
// A pod's veth pair: made, looked over, changed and removed by netlink. The only code of agent/pods
// that touches devices.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "agent/desired/desired.h"
#include "agent/desired/ipv6_mtu.h"
#include "agent/pods/netns.h"
#include "lib/netlink/netlink.h"
#include "lib/result/result.h"

namespace sluice {

struct PodMtu {
  uint32_t device = 0;  // of both ends
  uint32_t route = 0;   // of the default routes; 0: the device's
};

// Whether a pod with this MTU can have an IPv6 address.
inline bool ipv6_fits(PodMtu mtu) {
  return mtu.device >= kIpv6MtuMin && (mtu.route == 0 || mtu.route >= kIpv6MtuMin);
}

// What the node's MTU comes to for one pod, whose network configuration may ask for less; a pod
// that has IPv6 keeps a device that can carry it.
PodMtu mtu_of(const LocalEndpoint& endpoint, PodMtu node);

// Makes the pair with its inner end in `netns`, gives it addresses (/32, /128), gateway and default
// routes (behind those that the pod has already by another interface), brings the inner end and the
// pod's loopback up. The host's end stays down, so that no packet passes before the programs are on
// it: apply brings it up. Returns the index of the host's end. On failure nothing stays. kExists:
// the host's end or the interface in the pod is there already.
// node_ranges: what pods of this node have their addresses from; reached with the device's own MTU.
Result<uint32_t> create_pod_link(Netlink& host, const LocalEndpoint& endpoint, const Netns& netns,
                                 PodMtu mtu, std::span<const Prefix> node_ranges);

// Everything about the pair that is not as create_pod_link left it, one sentence each; empty:
// intact. A smaller MTU is somebody's choice; that the host's end is up is apply's to see.
std::vector<std::string> pod_link_problems(Netlink& host, const LocalEndpoint& endpoint,
                                           const Netns& netns, PodMtu mtu);

// What a result tells of the pod's end.
struct PodSide {
  uint32_t mtu = 0;
  // Ours, at most one of a family; without those that come behind another interface's.
  std::vector<RouteInfo> default_routes;
};
Result<PodSide> pod_side(const LocalEndpoint& endpoint);

// Deletes the host's end, if it is ours, and with it the other one. A pair that is gone is success.
Status remove_pod_link(Netlink& host, const LocalEndpoint& endpoint);

// Both ends and the default routes get the new MTU; an end that its network configuration made
// smaller stays so. Routes that are not ours any more are left alone, missing ones are not made.
Status update_pod_mtu(Netlink& host, const LocalEndpoint& endpoint, PodMtu before, PodMtu now);

}  // namespace sluice
