// SPDX-License-Identifier: Apache-2.0
// Everything that the kernel should hold, as values: the result of compile, the input of apply.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/desired/desired.h"
#include "bpf/abi/config.h"
#include "bpf/abi/endpoint.h"
#include "lib/ip/ip.h"

namespace sluice {

enum class DeviceRole : uint8_t { kPod, kUplink, kOverlay };

struct RouteRow {
  Prefix destination{};
  uint32_t ifindex = 0;
  Address via{};     // unset: on link
  Address source{};  // preferred source; unset: none
  uint32_t mtu = 0;  // 0: none
  auto operator<=>(const RouteRow&) const = default;
};

struct NeighbourRow {
  uint32_t ifindex = 0;
  Address address{};
  Mac mac{};
  auto operator<=>(const NeighbourRow&) const = default;
};

struct Rows {
  datapath_config config{};                    // rodata of every program
  node_row node{};                             // sl_node
  std::map<Prefix, identity_row> identities;   // sl_identity
  std::map<uint32_t, endpoint_row> endpoints;  // sl_endpoint, by ifindex
  std::map<uint32_t, device_row> devices;      // sl_device, by ifindex
  std::map<uint32_t, DeviceRole> attachments;  // devices that carry our programs
  std::vector<RouteRow> routes;                // of ours: sorted, own route protocol number
  std::vector<NeighbourRow> neighbours;        // permanent entries for the pods, sorted
  bool needs_overlay = false;                  // the VXLAN device must exist
  uint32_t pod_mtu = 0;                        // of the pods' devices
  std::map<uint32_t, uint32_t> own_mtus;       // of those that have another one, by ifindex
  uint32_t pod_route_mtu = 0;  // of the pods' default routes (smaller with an overlay)
  bool ipv6_fits = true;       // pod_route_mtu holds what IPv6 needs, or the node has no IPv6
};

}  // namespace sluice
