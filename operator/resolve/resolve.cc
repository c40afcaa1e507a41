// SPDX-License-Identifier: Apache-2.0
// Objects of the cluster to what nodes need.
#include "operator/resolve/resolve.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

std::string text_of(const PodKey& key) {
  return key.first + "/" + key.second;
}

SourceProblem problem_of(const NodeObject& node, std::string field, std::string what) {
  return {.origin = node.origin,
          .kind = "Node",
          .namespace_name = "",
          .name = node.name,
          .field = std::move(field),
          .what = std::move(what)};
}

// One of each family can be used for routing: the first.
std::vector<Address> claimed_addresses(const NodeObject& node) {
  std::vector<Address> claimed;
  bool have_ipv4 = false;
  bool have_ipv6 = false;
  for (const Address& address : node.internal_addresses) {
    if (!std::exchange(address.is_ipv4() ? have_ipv4 : have_ipv6, true)) claimed.push_back(address);
  }
  return claimed;
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

PodIntent wanted_intent(const PodObject& pod, const std::set<std::string>& selector_keys) {
  PodIntent intent{.namespace_name = pod.namespace_name,
                   .name = pod.name,
                   .uid = pod.uid,
                   .node = pod.node,
                   .host_network = pod.host_network,
                   .addresses = {},
                   .labels = pod.labels,
                   .identity = identity_name(pod.namespace_name, pod.labels, selector_keys),
                   .workload_kind = {},
                   .workload_name = {}};
  if (!pod.finished) intent.addresses = pod.addresses;
  set_workload(pod, intent);
  return intent;
}

// What `before` remembers against what `now` holds, key by key.
template <class Key, class Intent, class Entries>
void compare(const std::map<Key, std::shared_ptr<const Intent>>& before, Entries& now,
             std::vector<std::shared_ptr<const Intent>>& changed, std::vector<Key>& removed) {
  for (const auto& [key, old] : before) {
    const auto entry = now.find(key);
    if (entry == now.end()) {
      if (old) removed.push_back(key);
    } else if (!old || *old != *entry->second.intent) {
      changed.push_back(entry->second.intent);
    } else {
      entry->second.intent = old;
    }
  }
}

}  // namespace

// One call of apply: what has to be decided, and what each touched object was before.
struct Resolver::Round {
  std::set<std::string> nodes;
  std::set<PodKey> pods;
  std::map<std::string, std::shared_ptr<const NodeIntent>> nodes_before;
  std::map<PodKey, std::shared_ptr<const PodIntent>> pods_before;
};

IntentDelta Resolver::apply(std::span<const ObjectChange> changes) {
  Round round;
  for (const ObjectChange& change : changes)
    std::visit([&](const auto& object) { take(object, change.removed, round); }, change.object);
  // In the order of names: a node's ranges depend on those of nodes before it, and deciding one
  // asks only for later ones.
  while (!round.nodes.empty()) decide_node(round.nodes.extract(round.nodes.begin()).value(), round);
  for (const PodKey& key : round.pods) decide_pod(key, round);

  IntentDelta delta;
  compare(round.nodes_before, nodes_, delta.nodes, delta.removed_nodes);
  compare(round.pods_before, pods_, delta.pods, delta.removed_pods);
  return delta;
}

void Resolver::take(const NodeObject& node, bool removed, Round& round) {
  const auto known = nodes_.find(node.name);
  if (known == nodes_.end() && removed) return;
  round.nodes_before.try_emplace(node.name, known == nodes_.end() ? nullptr : known->second.intent);
  if (known != nodes_.end()) claim(known->second, false, round);
  if (removed) {
    nodes_.erase(known);
    node_problems_.erase(node.name);
    return;
  }
  Node& entry = nodes_[node.name];
  entry.object = node;
  claim(entry, true, round);
  round.nodes.insert(node.name);
}

void Resolver::claim(const Node& node, bool wanted, Round& round) {
  const NodeObject& object = node.object;
  for (const Address& address : claimed_addresses(object)) {
    wanted ? node_addresses_.add(address, object.name, round.nodes)
           : node_addresses_.remove(address, object.name, round.nodes);
  }
  for (size_t i = 0; i < object.pod_cidrs.size(); ++i) {
    wanted ? cidrs_.add(object.pod_cidrs[i], {object.name, i})
           : cidrs_.remove(object.pod_cidrs[i], {object.name, i}, round.nodes);
  }
}

void Resolver::decide_node(const std::string& name, Round& round) {
  const auto found = nodes_.find(name);
  if (found == nodes_.end()) return;
  Node& node = found->second;
  round.nodes_before.try_emplace(name, node.intent);
  auto intent = std::make_shared<NodeIntent>();
  intent->name = name;
  std::vector<SourceProblem> problems;
  for (const Address& address : claimed_addresses(node.object)) {
    const std::string owner = node_addresses_.owner(address);
    if (owner == name) {
      intent->addresses.push_back(address);
      continue;
    }
    problems.push_back(problem_of(node.object, "status.addresses",
                                  to_string(address) + " is the InternalIP of node " + owner +
                                      " too; node " + owner + " keeps it"));
  }
  for (size_t i = 0; i < node.object.pod_cidrs.size(); ++i) {
    const Prefix& cidr = node.object.pod_cidrs[i];
    const auto other = cidrs_.decide(cidr, {name, i}, round.nodes);
    if (!other) {
      intent->pod_cidrs.push_back(cidr);
      continue;
    }
    problems.push_back(problem_of(node.object, "spec.podCIDRs[" + std::to_string(i) + "]",
                                  to_string(cidr) + " of node " + name + " overlaps " +
                                      to_string(other->cidr) + " of node " + other->node +
                                      "; node " + other->node + " keeps its range, " +
                                      to_string(cidr) + " is not used"));
  }
  node.intent = std::move(intent);
  node_problems_.erase(name);
  if (!problems.empty()) node_problems_[name] = std::move(problems);
}

void Resolver::take(const PodObject& pod, bool removed, Round& round) {
  const PodKey key{pod.namespace_name, pod.name};
  const auto known = pods_.find(key);
  if (known == pods_.end() && removed) return;
  round.pods_before.try_emplace(key, known == pods_.end() ? nullptr : known->second.intent);
  if (known != pods_.end()) claim(key, known->second, false, round);
  if (removed) {
    pods_.erase(known);
    pod_problems_.erase(key);
    return;
  }
  Pod& entry = pods_[key];
  entry.wanted = std::make_shared<const PodIntent>(wanted_intent(pod, selector_keys_));
  entry.origin = pod.origin;
  claim(key, entry, true, round);
  round.pods.insert(key);
}

void Resolver::claim(const PodKey& key, const Pod& pod, bool wanted, Round& round) {
  // Pods of the host's network all have their node's address.
  if (pod.wanted->host_network) return;
  for (const Address& address : pod.wanted->addresses) {
    wanted ? pod_addresses_.add(address, key, round.pods)
           : pod_addresses_.remove(address, key, round.pods);
  }
}

void Resolver::decide_pod(const PodKey& key, Round& round) {
  const auto found = pods_.find(key);
  if (found == pods_.end()) return;
  Pod& pod = found->second;
  round.pods_before.try_emplace(key, pod.intent);
  std::vector<SourceProblem> problems;
  auto addresses = granted(key, pod, problems);
  if (problems.empty()) {
    pod.intent = pod.wanted;
    pod_problems_.erase(key);
    return;
  }
  auto intent = std::make_shared<PodIntent>(*pod.wanted);
  intent->addresses = std::move(addresses);
  pod.intent = std::move(intent);
  pod_problems_[key] = std::move(problems);
}

std::vector<Address> Resolver::granted(const PodKey& key, const Pod& pod,
                                       std::vector<SourceProblem>& problems) const {
  if (pod.wanted->host_network) return pod.wanted->addresses;
  std::vector<Address> own;
  for (const Address& address : pod.wanted->addresses) {
    const PodKey owner = pod_addresses_.owner(address);
    if (owner == key && std::find(own.begin(), own.end(), address) == own.end()) {
      own.push_back(address);
      continue;
    }
    problems.push_back({.origin = pod.origin,
                        .kind = "Pod",
                        .namespace_name = key.first,
                        .name = key.second,
                        .field = "status.podIPs",
                        .what = to_string(address) + " is an address of pod " + text_of(owner) +
                                " too; pod " + text_of(owner) + " keeps it"});
  }
  return own;
}

Intent Resolver::intent() const {
  Intent intent;
  intent.nodes.reserve(nodes_.size());
  intent.pods.reserve(pods_.size());
  for (const auto& [name, node] : nodes_) intent.nodes.push_back(*node.intent);
  for (const auto& [key, pod] : pods_) intent.pods.push_back(*pod.intent);
  return intent;
}

std::vector<SourceProblem> Resolver::problems() const {
  std::vector<SourceProblem> all;
  for (const auto& [name, problems] : node_problems_)
    all.insert(all.end(), problems.begin(), problems.end());
  for (const auto& [key, problems] : pod_problems_)
    all.insert(all.end(), problems.begin(), problems.end());
  return all;
}

std::string identity_name(std::string_view namespace_name,
                          const std::map<std::string, std::string>& labels,
                          const std::set<std::string>& selector_keys) {
  std::string text = "namespace=" + std::string(namespace_name);
  for (const std::string& key : selector_keys) {
    if (const auto label = labels.find(key); label != labels.end())
      text += ";" + key + "=" + label->second;
  }
  return text;
}

}  // namespace sluice
