// SPDX-License-Identifier: Apache-2.0
// The desired state as other threads see it.
#include "agent/desired/snapshot.h"

#include <algorithm>

#include "agent/desired/pod_of.h"
#include "bpf/abi/endpoint.h"

namespace sluice {
namespace {

const char* reserved_name(uint32_t identity) {
  switch (identity) {
    case IDENTITY_UNKNOWN:
      return "unknown";
    case IDENTITY_HOST:
      return "host";
    case IDENTITY_WORLD:
      return "world";
    case IDENTITY_UNMANAGED:
      return "unmanaged";
    case IDENTITY_HEALTH:
      return "health";
    case IDENTITY_INIT:
      return "init";
    case IDENTITY_REMOTE_NODE:
      return "remote-node";
    case IDENTITY_KUBE_APISERVER:
      return "kube-apiserver";
    default:
      return nullptr;
  }
}

void set_pod(const PodIntent& pod, Peer& peer) {
  peer.namespace_name = pod.namespace_name;
  peer.pod_name = pod.name;
  peer.labels = pod.labels;
  peer.workload_kind = pod.workload_kind;
  peer.workload_name = pod.workload_name;
}

}  // namespace

std::shared_ptr<const ClusterIndex> index_cluster(const Desired& desired) {
  auto index = std::make_shared<ClusterIndex>();
  index->intent_revision = desired.intent.revision;
  index->nodes = desired.intent.nodes.size();
  index->pods = desired.intent.pods.size();
  for (const auto& [content, number] : desired.identity_numbers)
    index->identity_names[number] = content;
  for (const PodIntent& pod : desired.intent.pods) {
    if (pod.host_network) continue;  // its addresses are its node's
    const auto number = desired.identity_numbers.find(pod.identity);
    Peer peer{.identity = number == desired.identity_numbers.end() ? IDENTITY_INIT : number->second,
              .node = pod.node};
    set_pod(pod, peer);
    for (const Address& address : pod.addresses) index->peers.insert_or_assign(address, peer);
  }
  for (const NodeIntent& node : desired.intent.nodes) {
    for (const Prefix& cidr : node.pod_cidrs) {
      index->ranges.insert(cidr, Peer{.identity = IDENTITY_UNMANAGED, .node = node.name});
    }
    if (node.name == desired.settings.node_name) continue;
    for (const Address& address : node.addresses) {
      index->peers.insert_or_assign(address,
                                    Peer{.identity = IDENTITY_REMOTE_NODE, .node = node.name});
    }
  }
  return index;
}

Snapshot::Snapshot(const Desired& desired, uint64_t revision,
                   std::shared_ptr<const ClusterIndex> cluster)
    : cluster_(std::move(cluster)),
      uplinks_(desired.uplinks),
      host_addresses_(desired.host_addresses),
      settings_(desired.settings),
      overlay_ifindex_(desired.overlay_ifindex),
      revision_(revision),
      host_{.identity = IDENTITY_HOST, .node = desired.settings.node_name},
      world_{.identity = IDENTITY_WORLD} {
  std::sort(host_addresses_.begin(), host_addresses_.end());
  for (const LocalEndpoint& endpoint : desired.endpoints) {
    const EndpointPod owner = pod_of(desired, endpoint);
    Peer peer{.identity = owner.identity, .node = settings_.node_name};
    if (owner.pod != nullptr) set_pod(*owner.pod, peer);
    peer.namespace_name = owner.namespace_name;
    peer.pod_name = owner.name;
    endpoints_.insert_or_assign(endpoint.ifindex,
                                EndpointView{.endpoint = endpoint, .peer = std::move(peer)});
    if (endpoint.ipv4) local_.insert_or_assign(*endpoint.ipv4, endpoint.ifindex);
    if (endpoint.ipv6) local_.insert_or_assign(*endpoint.ipv6, endpoint.ifindex);
  }
}

const Peer& Snapshot::peer(const Address& address) const {
  if (const auto local = local_.find(address); local != local_.end())
    return endpoints_.at(local->second).peer;
  if (std::binary_search(host_addresses_.begin(), host_addresses_.end(), address)) return host_;
  if (const auto peer = cluster_->peers.find(address); peer != cluster_->peers.end())
    return peer->second;
  if (const Peer* range = cluster_->ranges.find(address)) return *range;
  return world_;
}

const EndpointView* Snapshot::endpoint(uint32_t ifindex) const {
  const auto at = endpoints_.find(ifindex);
  return at == endpoints_.end() ? nullptr : &at->second;
}

std::string Snapshot::identity_name(uint32_t identity) const {
  if (const char* reserved = reserved_name(identity)) return reserved;
  const auto name = cluster_->identity_names.find(identity);
  return name == cluster_->identity_names.end() ? "unknown-" + std::to_string(identity)
                                                : name->second;
}

}  // namespace sluice
