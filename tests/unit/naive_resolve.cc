// SPDX-License-Identifier: Apache-2.0
// Resolve as a batch, as plain as it can be said: what the incremental one has to agree with.
#include "tests/unit/naive_resolve.h"

#include <algorithm>
#include <tuple>

namespace sluice {
namespace {

struct Claim {
  Prefix cidr;
  std::string node;
};

// Pod CIDRs that were granted so far. CIDRs in it never overlap, so only two neighbours of a new
// one can.
class CidrTable {
 public:
  const Claim* overlapping(const Prefix& cidr) const {
    const auto after = claims_.lower_bound(cidr.address);
    if (after != claims_.end() && overlaps(after->second.cidr, cidr)) return &after->second;
    if (after != claims_.begin() && overlaps(std::prev(after)->second.cidr, cidr))
      return &std::prev(after)->second;
    return nullptr;
  }
  void add(Claim claim) { claims_.emplace(claim.cidr.address, std::move(claim)); }

 private:
  std::map<Address, Claim> claims_;
};

class Naive {
 public:
  Resolution run(const Objects& objects);

 private:
  NodeIntent resolve_node(const NodeObject& node);
  PodIntent resolve_pod(const PodObject& pod);

  CidrTable cidrs_;
  std::map<Address, std::string> node_addresses_;  // -> node
  std::map<Address, std::string> pod_addresses_;   // -> namespace/name
  std::set<std::string> selector_keys_;            // none: no kind that selects pods is read yet
  std::vector<SourceProblem> problems_;
};

std::string cidr_field(size_t index) {
  return "spec.podCIDRs[" + std::to_string(index) + "]";
}

NodeIntent Naive::resolve_node(const NodeObject& node) {
  NodeIntent intent{.name = node.name};
  const auto problem = [&](std::string field, std::string what) {
    problems_.push_back({.origin = node.origin,
                         .kind = "Node",
                         .namespace_name = "",
                         .name = node.name,
                         .field = std::move(field),
                         .what = std::move(what)});
  };
  bool have_ipv4 = false;
  bool have_ipv6 = false;
  for (const Address& address : node.internal_addresses) {
    if (std::exchange(address.is_ipv4() ? have_ipv4 : have_ipv6, true)) continue;
    const auto [owner, is_new] = node_addresses_.emplace(address, node.name);
    if (is_new) {
      intent.addresses.push_back(address);
    } else {
      problem("status.addresses", to_string(address) + " is the InternalIP of node " +
                                      owner->second + " too; node " + owner->second + " keeps it");
    }
  }
  for (size_t i = 0; i < node.pod_cidrs.size(); ++i) {
    const Prefix& cidr = node.pod_cidrs[i];
    if (const Claim* other = cidrs_.overlapping(cidr)) {
      problem(cidr_field(i), to_string(cidr) + " of node " + node.name + " overlaps " +
                                 to_string(other->cidr) + " of node " + other->node + "; node " +
                                 other->node + " keeps its range, " + to_string(cidr) +
                                 " is not used");
      continue;
    }
    cidrs_.add({.cidr = cidr, .node = node.name});
    intent.pod_cidrs.push_back(cidr);
  }
  return intent;
}

// A ReplicaSet that a Deployment made is called "<deployment>-<pod-template-hash>".
void set_workload(const PodObject& pod, PodIntent& intent) {
  intent.workload_kind = pod.owner_kind;
  intent.workload_name = pod.owner_name;
  const auto hash = pod.labels.find("pod-template-hash");
  if (pod.owner_kind != "ReplicaSet" || hash == pod.labels.end()) return;
  const std::string end = "-" + hash->second;
  if (!pod.owner_name.ends_with(end) || pod.owner_name.size() == end.size()) return;
  intent.workload_kind = "Deployment";
  intent.workload_name.resize(pod.owner_name.size() - end.size());
}

PodIntent Naive::resolve_pod(const PodObject& pod) {
  PodIntent intent{.namespace_name = pod.namespace_name,
                   .name = pod.name,
                   .uid = pod.uid,
                   .node = pod.node,
                   .host_network = pod.host_network,
                   .addresses = {},
                   .labels = pod.labels,
                   .identity = identity_name(pod.namespace_name, pod.labels, selector_keys_),
                   .workload_kind = {},
                   .workload_name = {}};
  set_workload(pod, intent);
  if (pod.finished) return intent;
  for (const Address& address : pod.addresses) {
    const std::string name = pod.namespace_name + "/" + pod.name;
    // Pods of the host's network all have their node's address.
    const auto [owner, is_new] = pod.host_network ? std::pair(pod_addresses_.end(), true)
                                                  : pod_addresses_.emplace(address, name);
    if (is_new) {
      intent.addresses.push_back(address);
    } else {
      problems_.push_back({.origin = pod.origin,
                           .kind = "Pod",
                           .namespace_name = pod.namespace_name,
                           .name = pod.name,
                           .field = "status.podIPs",
                           .what = to_string(address) + " is an address of pod " + owner->second +
                                   " too; pod " + owner->second + " keeps it"});
    }
  }
  return intent;
}

template <class T, class Less>
std::vector<const T*> sorted(const std::vector<T>& objects, const Less& less) {
  std::vector<const T*> pointers;
  pointers.reserve(objects.size());
  for (const T& object : objects) pointers.push_back(&object);
  std::sort(pointers.begin(), pointers.end(), [&](const T* a, const T* b) { return less(*a, *b); });
  return pointers;
}

Resolution Naive::run(const Objects& objects) {
  Intent intent;
  for (const NodeObject* node :
       sorted(objects.nodes, [](const auto& a, const auto& b) { return a.name < b.name; })) {
    intent.nodes.push_back(resolve_node(*node));
  }
  const auto by_name = [](const PodObject& a, const PodObject& b) {
    return std::tie(a.namespace_name, a.name) < std::tie(b.namespace_name, b.name);
  };
  for (const PodObject* pod : sorted(objects.pods, by_name))
    intent.pods.push_back(resolve_pod(*pod));
  return {.intent = std::move(intent), .problems = std::move(problems_)};
}

}  // namespace

Resolution naive_resolve(const Objects& objects) {
  return Naive().run(objects);
}

}  // namespace sluice
