// SPDX-License-Identifier: Apache-2.0
// Who is behind an address or a device: the immutable snapshot of agent/desired that events are
// joined with.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "agent/desired/desired.h"
#include "agent/enrich/flow.h"
#include "lib/ip/ip.h"

namespace sluice {

// The number that flow APIs show for an identity: the same on every node, never a reserved one
// (FNV-1a, 32 bits).
uint32_t identity_hash(std::string_view content);

class Directory {
 public:
  // Takes over the parties of `previous` that did not change, so that stored flows and new ones
  // share them. changes: since `previous` was built; with changes.all false it costs what they
  // name, the nodes and this node's pods, and not the pods of the cluster.
  static std::shared_ptr<const Directory> build(const Desired& desired,
                                                const Directory* previous = nullptr,
                                                const PodChanges& changes = {});

  // The end with this address; where no pod or node has it, what the kernel's identity number says.
  // Never null.
  std::shared_ptr<const Party> party(const Address& address, uint32_t identity_number) const;
  std::shared_ptr<const Device> device(uint32_t ifindex) const;  // never null
  // The pod behind this host-side device; null where it is none of ours.
  std::shared_ptr<const Party> pod_at(uint32_t ifindex) const;
  const std::string& node_name() const { return node_name_; }

 private:
  using PartyPointer = std::shared_ptr<const Party>;
  using Parties = std::unordered_map<Address, PartyPointer>;

  void add_reserved();
  void add_nodes(const Desired& desired, const Directory* previous);
  void add_pods(const Desired& desired, const Directory* previous);
  void change_pods(const Directory& previous, const PodChanges& changes);
  void add_endpoints(const Desired& desired, const Directory* previous);
  void add_devices(const Desired& desired, const Directory* previous);
  void add_identities(const Desired& desired, const Directory* previous);
  PartyPointer at_address(const Address& address) const;  // null: nobody has it
  static PartyPointer at_address(const Directory* directory, const Address& address);

  std::string node_name_;
  // By address; the first that has it counts. Snapshots share pods_ as long as few of them changed.
  Parties endpoints_;
  Parties changed_pods_;  // against pods_; null: nobody's now
  std::shared_ptr<const Parties> pods_;
  Parties nodes_;
  std::map<uint32_t, PartyPointer> by_identity_;  // kernel's numbers, reserved ones included
  std::map<uint32_t, PartyPointer> pods_by_ifindex_;
  std::map<uint32_t, std::shared_ptr<const Device>> devices_;
};

}  // namespace sluice
