// SPDX-License-Identifier: Apache-2.0
// How this node reaches the others: directly over an uplink, or through the overlay. Pure; a step
// of compile.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "agent/desired/desired.h"
#include "agent/desired/prefix_map.h"

namespace sluice {

// The way to the pods of one family on one node.
struct Reach {
  bool tunnel = false;
  Address node{};  // tunnel endpoint, or the node's address of the family; unset: it has none that
                   // helps
  uint32_t ifindex =
      0;             // uplink that has `node` on link; 0: none, the way is the network's business
  Address source{};  // this node's address on that uplink
};

// Direct where the node's address of the pods' own family is on link, so that on an underlay of one
// family alone the pods of the other still have a way (routing auto: the overlay). Holds pointers
// into `desired`.
class Underlay {
 public:
  explicit Underlay(const Desired& desired);

  Reach reach(const NodeIntent& node, bool ipv4) const;
  // The node's own address in the underlay: of the Node object where the host has it, else of the
  // first uplink with one.
  const Address& own_address(bool ipv4) const { return ipv4 ? own_ipv4_ : own_ipv6_; }
  // IPv4 where this node has it: what tunnel packets carry as their source.
  const Address& tunnel_source() const { return own_ipv4_.is_set() ? own_ipv4_ : own_ipv6_; }
  bool is_this_node(const NodeIntent& node) const {
    return node.name == desired_.settings.node_name;
  }

  // Null where no node is called so, or none has the address in its pod CIDRs.
  const NodeIntent* node(const std::string& name) const;
  const NodeIntent* node_of_pod(const Address& pod) const;

 private:
  Address find_own_address(bool ipv4) const;
  Address tunnel_endpoint(const NodeIntent& node) const;

  const Desired& desired_;
  std::map<std::string, const NodeIntent*> nodes_;
  PrefixMap<const NodeIntent*> ranges_;
  Address own_ipv4_;
  Address own_ipv6_;
};

// First address of the family; unset where there is none.
Address first_of_family(const std::vector<Address>& addresses, bool ipv4);

}  // namespace sluice
