// SPDX-License-Identifier: Apache-2.0
// Who owns which address, and how it is reached.
#include "agent/compile/identities.h"

#include <utility>

#include "agent/desired/pod_of.h"

namespace sluice {
namespace {

class Table {
 public:
  Table(const Desired& desired, const Underlay& underlay)
      : desired_(desired), underlay_(underlay) {}
  // Everything but what is said of these addresses is known already.
  Table(const Desired& desired, const Underlay& underlay, const PodChanges& changes,
        std::map<Prefix, identity_row> known);

  void add_ranges();
  void add_pod(const PodIntent& pod);
  void add_nearer();  // what wins over the pods of other nodes
  std::map<Prefix, identity_row> take() { return std::move(rows_); }

 private:
  void add_fixed_ranges();
  void add_pod_cidrs(const NodeIntent& node);
  void add_node_addresses(const NodeIntent& node);
  void add_host_addresses();
  void add_endpoint(const LocalEndpoint& endpoint);
  bool is_family_on(const Address& address) const {
    return address.is_ipv4() ? desired_.settings.ipv4 : desired_.settings.ipv6;
  }
  void set(const Prefix& prefix, const identity_row& row) {
    if (changes_ == nullptr || is_open(prefix)) rows_.insert_or_assign(prefix, row);
  }
  bool is_open(const Prefix& prefix) const {
    return prefix.length == 128 && changes_->by_address.contains(prefix.address);
  }
  void set(const Prefix& prefix, uint32_t identity, uint32_t flags) {
    identity_row row{};
    row.identity = identity;
    row.flags = flags;
    set(prefix, row);
  }
  identity_row remote_pod(uint32_t identity, const NodeIntent& node, bool ipv4) const;
  uint32_t translate() const { return desired_.settings.translate ? ADDRESS_TRANSLATE : 0; }

  const Desired& desired_;
  const Underlay& underlay_;
  const PodChanges* changes_ = nullptr;  // null: all of it is made
  std::map<Prefix, identity_row> rows_;
};

Table::Table(const Desired& desired, const Underlay& underlay, const PodChanges& changes,
             std::map<Prefix, identity_row> known)
    : desired_(desired), underlay_(underlay), changes_(&changes), rows_(std::move(known)) {
  for (const auto& [address, pod] : changes.by_address) rows_.erase(host_prefix(address));
}

void Table::add_ranges() {
  add_fixed_ranges();
  for (const NodeIntent& node : desired_.intent.nodes) add_pod_cidrs(node);
}

void Table::add_nearer() {
  for (const NodeIntent& node : desired_.intent.nodes) add_node_addresses(node);
  add_host_addresses();
  for (const LocalEndpoint& endpoint : desired_.endpoints) add_endpoint(endpoint);
}

Prefix range(const char* text) {
  return *parse_prefix(text);
}

void Table::add_fixed_ranges() {
  set(range("0.0.0.0/0"), IDENTITY_WORLD, translate());
  set(range("::/0"), IDENTITY_WORLD, translate());
  for (const Prefix& prefix : desired_.settings.no_translate) set(prefix, IDENTITY_WORLD, 0);
  // Nobody's: what a pod sends there is refused, wherever the node's own routes would take it.
  for (const char* text : {"0.0.0.0/8", "127.0.0.0/8", "169.254.1.1/32", "::/128", "::1/128"})
    set(range(text), IDENTITY_UNKNOWN, 0);
  // Never leave the link: the host's stack knows what to do with them.
  for (const char* text : {"fe80::/10", "ff00::/8", "224.0.0.0/4"})
    set(range(text), IDENTITY_HOST, ADDRESS_THIS_NODE);
}

identity_row Table::remote_pod(uint32_t identity, const NodeIntent& node, bool ipv4) const {
  const Reach reach = underlay_.reach(node, ipv4);
  identity_row row{};
  row.identity = identity;
  row.flags = ADDRESS_REMOTE_POD | (reach.tunnel ? ADDRESS_TUNNEL : 0);
  row.node = to_abi(reach.node);
  return row;
}

void Table::add_pod_cidrs(const NodeIntent& node) {
  for (const Prefix& cidr : node.pod_cidrs) {
    if (!is_family_on(cidr.address)) continue;
    if (underlay_.is_this_node(node)) {
      // Device 0: an address of ours that no pod has.
      set(cidr, IDENTITY_UNMANAGED, ADDRESS_LOCAL_POD);
    } else {
      set(cidr, remote_pod(IDENTITY_UNMANAGED, node, cidr.is_ipv4()));
    }
  }
}

void Table::add_pod(const PodIntent& pod) {
  if (pod.host_network || pod.node == desired_.settings.node_name) return;
  const auto number = desired_.identity_numbers.find(pod.identity);
  const uint32_t identity =
      number == desired_.identity_numbers.end() ? IDENTITY_INIT : number->second;
  for (const Address& address : pod.addresses) {
    if (!is_family_on(address)) continue;
    const NodeIntent* node = underlay_.node(pod.node);
    if (node == nullptr) node = underlay_.node_of_pod(address);
    const NodeIntent* range_owner = underlay_.node_of_pod(address);
    // An address of our own range is ours, whatever a late object says: only CNI puts pods there.
    if (range_owner != nullptr && underlay_.is_this_node(*range_owner)) continue;
    if (node != nullptr) {
      set(host_prefix(address), remote_pod(identity, *node, address.is_ipv4()));
    } else {
      set(host_prefix(address), identity, ADDRESS_REMOTE_POD);
    }
  }
}

void Table::add_node_addresses(const NodeIntent& node) {
  if (underlay_.is_this_node(node)) return;
  for (const Address& address : node.addresses) {
    identity_row row{};
    row.identity = IDENTITY_REMOTE_NODE;
    row.flags = ADDRESS_REMOTE_NODE;
    // A node off the subnet: what is between knows no pod addresses, and the answer has to find
    // back.
    const Reach reach = underlay_.reach(node, address.is_ipv4());
    if (reach.tunnel) row.flags |= translate();
    // What the node itself sends to our pods comes out of the tunnel with its endpoint outside, in
    // whichever family the tunnel is.
    row.node = to_abi(reach.tunnel ? reach.node : address);
    set(host_prefix(address), row);
  }
}

void Table::add_host_addresses() {
  for (const Address& address : desired_.host_addresses)
    set(host_prefix(address), IDENTITY_HOST, ADDRESS_THIS_NODE);
}

void Table::add_endpoint(const LocalEndpoint& endpoint) {
  if (endpoint.ifindex == 0) return;
  identity_row row{};
  row.identity = pod_of(desired_, endpoint).identity;
  row.flags = ADDRESS_LOCAL_POD;
  row.ifindex = endpoint.ifindex;
  // Its labels may have changed with no address in its object.
  for (const auto& address : {endpoint.ipv4, endpoint.ipv6}) {
    if (address) rows_.insert_or_assign(host_prefix(*address), row);
  }
}

}  // namespace

std::map<Prefix, identity_row> identity_rows(const Desired& desired, const Underlay& underlay) {
  Table table(desired, underlay);
  table.add_ranges();
  for (const PodIntent& pod : desired.intent.pods) table.add_pod(pod);
  table.add_nearer();
  return table.take();
}

void change_identity_rows(const Desired& desired, const Underlay& underlay,
                          const PodChanges& changes, std::map<Prefix, identity_row>& rows) {
  Table table(desired, underlay, changes, std::move(rows));
  table.add_ranges();
  for (const auto& [address, pod] : changes.by_address) {
    if (pod) table.add_pod(*pod);
  }
  table.add_nearer();
  rows = table.take();
}

}  // namespace sluice
