// SPDX-License-Identifier: Apache-2.0
// How this node reaches the others.
#include "agent/compile/underlay.h"

#include <algorithm>

namespace sluice {
namespace {

bool holds(const std::vector<Address>& addresses, const Address& wanted) {
  return std::find(addresses.begin(), addresses.end(), wanted) != addresses.end();
}

const Uplink* uplink_with(const std::vector<Uplink>& uplinks, const Address& on_link) {
  for (const Uplink& uplink : uplinks) {
    for (const Prefix& subnet : uplink.subnets) {
      if (contains(subnet, on_link)) return &uplink;
    }
  }
  return nullptr;
}

}  // namespace

Address first_of_family(const std::vector<Address>& addresses, bool ipv4) {
  const auto at = std::find_if(addresses.begin(), addresses.end(),
                               [&](const Address& address) { return address.is_ipv4() == ipv4; });
  return at == addresses.end() ? Address{} : *at;
}

Underlay::Underlay(const Desired& desired) : desired_(desired) {
  for (const NodeIntent& node : desired.intent.nodes) {
    nodes_.emplace(node.name, &node);
    for (const Prefix& cidr : node.pod_cidrs) ranges_.insert(cidr, &node);
  }
  own_ipv4_ = find_own_address(true);
  own_ipv6_ = find_own_address(false);
}

const NodeIntent* Underlay::node(const std::string& name) const {
  const auto at = nodes_.find(name);
  return at == nodes_.end() ? nullptr : at->second;
}

const NodeIntent* Underlay::node_of_pod(const Address& pod) const {
  const NodeIntent* const* node = ranges_.find(pod);
  return node == nullptr ? nullptr : *node;
}

Address Underlay::find_own_address(bool ipv4) const {
  if (const NodeIntent* self = node(desired_.settings.node_name)) {
    const Address address = first_of_family(self->addresses, ipv4);
    if (address.is_set() && holds(desired_.host_addresses, address)) return address;
  }
  for (const Uplink& uplink : desired_.uplinks) {
    const Address address = first_of_family(uplink.addresses, ipv4);
    if (address.is_set()) return address;
  }
  return {};
}

Address Underlay::tunnel_endpoint(const NodeIntent& node) const {
  for (const bool ipv4 : {true, false}) {
    const Address address = first_of_family(node.addresses, ipv4);
    if (address.is_set() && own_address(ipv4).is_set()) return address;
  }
  return {};
}

Reach Underlay::reach(const NodeIntent& node, bool ipv4) const {
  const Routing routing = desired_.settings.routing;
  const Address direct = first_of_family(node.addresses, ipv4);
  if (routing != Routing::kVxlan && direct.is_set()) {
    const Uplink* uplink = uplink_with(desired_.uplinks, direct);
    if (uplink != nullptr) {
      return {.tunnel = false,
              .node = direct,
              .ifindex = uplink->ifindex,
              .source = first_of_family(uplink->addresses, ipv4)};
    }
  }
  if (routing == Routing::kNative) return {.node = direct};
  const Address endpoint = tunnel_endpoint(node);
  return {.tunnel = endpoint.is_set(), .node = endpoint};
}

}  // namespace sluice
