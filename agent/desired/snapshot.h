// SPDX-License-Identifier: Apache-2.0
// The desired state as other threads see it: immutable, asked by address, device and identity
// (enrich, flows, admin).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/desired/desired.h"
#include "agent/desired/prefix_map.h"

namespace sluice {

// Who is behind an address.
struct Peer {
  uint32_t identity = 0;         // IDENTITY_* or a number of this agent's
  std::string namespace_name{};  // of the pod; empty where there is none
  std::string pod_name{};        // of the pod; the container id of an endpoint without a pod
  std::map<std::string, std::string> labels{};
  std::string workload_kind{};
  std::string workload_name{};
  std::string node{};  // that has the address; empty: outside or not known

  bool operator==(const Peer&) const = default;
};

// A local endpoint and the pod that it is.
struct EndpointView {
  LocalEndpoint endpoint{};
  Peer peer{};
};

// The part that only the intent changes; shared by snapshots, so that a CNI ADD copies nothing of
// the cluster.
struct ClusterIndex {
  std::unordered_map<Address, Peer> peers{};  // addresses of pods and of other nodes
  PrefixMap<Peer> ranges;                     // pod CIDRs
  std::map<uint32_t, std::string> identity_names{};
  uint64_t intent_revision = 0;
  size_t nodes = 0;
  size_t pods = 0;
};

// Pure. desired.intent and desired.identity_numbers only.
std::shared_ptr<const ClusterIndex> index_cluster(const Desired& desired);

// Thread: any number may read one. Every pointer and reference lives as long as the snapshot.
class Snapshot {
 public:
  Snapshot(const Desired& desired, uint64_t revision, std::shared_ptr<const ClusterIndex> cluster);

  // Local endpoints first, then this host, pods and nodes of the intent, pod CIDRs; all else is
  // IDENTITY_WORLD.
  const Peer& peer(const Address& address) const;
  // Null where the device is no pod's.
  const EndpointView* endpoint(uint32_t ifindex) const;
  // "namespace=demo", "world", ...; "unknown-<number>" for a number that this agent did not give.
  std::string identity_name(uint32_t identity) const;

  const std::map<uint32_t, EndpointView>& endpoints() const { return endpoints_; }
  const std::vector<Uplink>& uplinks() const { return uplinks_; }
  const std::vector<Address>& host_addresses() const { return host_addresses_; }
  const NodeSettings& settings() const { return settings_; }
  uint32_t overlay_ifindex() const { return overlay_ifindex_; }
  uint64_t revision() const {
    return revision_;
  }  // of the desired state: grows with every change of it
  uint64_t intent_revision() const { return cluster_->intent_revision; }
  size_t nodes() const { return cluster_->nodes; }
  size_t pods() const { return cluster_->pods; }

 private:
  std::shared_ptr<const ClusterIndex> cluster_;
  std::map<uint32_t, EndpointView> endpoints_;   // by ifindex
  std::unordered_map<Address, uint32_t> local_;  // address of a local endpoint -> ifindex
  std::vector<Uplink> uplinks_;
  std::vector<Address> host_addresses_;  // sorted
  NodeSettings settings_;
  uint32_t overlay_ifindex_ = 0;
  uint64_t revision_ = 0;
  Peer host_;
  Peer world_;
};

}  // namespace sluice
