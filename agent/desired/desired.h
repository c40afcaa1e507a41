// SPDX-License-Identifier: Apache-2.0
// The node's desired state: intent from the operator joined with the pods that CNI made here. Plain
// data; compile reads it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/ip/ip.h"
#include "operator/resolve/intent.h"

namespace sluice {

// Name of the VXLAN device that apply makes.
inline constexpr const char* kOverlayDevice = "sluice_vxlan";
// Of every pod's host-side device and of the overlay device: the pods' gateway has one MAC on every
// node, so that none has to be learned.
inline constexpr Mac kGatewayMac{{0x02, 0x53, 0x4c, 0x00, 0x00, 0x01}};
// What pods take for their router; answered by pod_egress.
inline constexpr std::string_view kGatewayIpv4 = "169.254.1.1";
inline constexpr std::string_view kGatewayIpv6 = "fe80::1";
// Every pod's host-side device has an alias that starts so: how an agent without memory knows it.
inline constexpr std::string_view kAliasMark = "sluice:";
// Pod devices are called this and 12 hex digits.
inline constexpr const char* kPodDevicePrefix = "sl";

enum class Routing : uint8_t {
  kAuto,    // direct routes to nodes on a subnet of the uplink, VXLAN to the rest
  kNative,  // direct routes only; nodes off the subnet are the network's business
  kVxlan,   // VXLAN to every node
};

std::string_view name(Routing routing);  // as in the settings: "auto", "native", "vxlan"

// A pod interface of this node, as CNI ADD made it. Identified by (network, container_id, ifname).
struct LocalEndpoint {
  std::string network{};  // name in the CNI configuration
  std::string container_id{};
  std::string ifname{};         // inside the pod
  std::string netns{};          // path, as CNI gave it
  std::string pod_namespace{};  // empty where CNI named no pod
  std::string pod_name{};
  std::string pod_uid{};
  std::string host_device{};  // "sl" + 12 hex digits
  uint32_t ifindex = 0;       // of host_device
  std::optional<Address> ipv4{};
  std::optional<Address> ipv6{};
  Mac pod_mac{};
  Mac host_mac{};
  uint32_t mtu = 0;  // of both ends, from the network configuration; 0: the node's
  int64_t created_unix_ms = 0;
  int64_t created_boot_ms = 0;  // lib/boot; 0: not known. A device does not outlive its boot

  bool operator==(const LocalEndpoint&) const = default;
};

// An external device of the node: has an address and carries traffic of other nodes or the outside.
struct Uplink {
  std::string name{};
  uint32_t ifindex = 0;
  uint32_t mtu = 0;
  std::vector<Prefix> subnets{};     // on-link, with length of the subnet
  std::vector<Address> addresses{};  // own, first of each family is the source of translation
  bool operator==(const Uplink&) const = default;
};

struct NodeSettings {
  std::string node_name{};
  Routing routing = Routing::kAuto;
  bool ipv4 = true;
  bool ipv6 = true;
  bool translate = true;  // source translation to the outside
  std::vector<Prefix>
      no_translate{};  // destinations outside the cluster that know how to reach pods
  uint16_t snat_port_min = 10240;
  uint16_t snat_port_max = 29999;
  uint32_t tunnel_id = 1;  // VNI
  uint32_t mtu = 0;        // 0: from the uplink
  bool operator==(const NodeSettings&) const = default;
};

// Whose addresses changed since somebody last asked: for those who follow the pods instead of
// reading them all again.
struct PodChanges {
  bool all = true;      // nodes changed, or nobody has asked yet: read all pods
  bool besides = true;  // something that is not in the intent changed: this node's devices
  // By address: the pod that has it now; null: none has.
  std::map<Address, std::shared_ptr<const PodIntent>> by_address{};
};

struct Desired {
  NodeSettings settings{};
  Intent intent{};                         // nodes and pods, this node's included
  std::vector<LocalEndpoint> endpoints{};  // sorted by ifindex
  std::vector<Uplink> uplinks{};  // the one of the default route first, the others by ifindex
  std::vector<Address> host_addresses{};  // every address of this node that a pod may talk to
  std::map<std::string, uint32_t>
      identity_numbers;  // identity by content -> this agent's number, >= IDENTITY_FIRST_LOCAL
  uint32_t overlay_ifindex = 0;  // 0 until apply has made the device
};

}  // namespace sluice
