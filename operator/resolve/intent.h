// SPDX-License-Identifier: Apache-2.0
// What a node has to know of the cluster: the result of resolve, the input of the agents. Plain
// data.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/ip/ip.h"

namespace sluice {

struct NodeIntent {
  std::string name{};
  std::vector<Address> addresses{};  // InternalIP, at most one of each family used for routing
  std::vector<Prefix> pod_cidrs{};   // spec.podCIDRs, IPv4 and IPv6

  bool operator==(const NodeIntent&) const = default;
};

struct PodIntent {
  std::string namespace_name{};
  std::string name{};
  std::string uid{};   // empty in manifests that give none
  std::string node{};  // spec.nodeName; empty: any node that starts a container of this name
  bool host_network = false;
  std::vector<Address> addresses{};             // status.podIPs, where known
  std::map<std::string, std::string> labels{};  // all, for flows
  std::string
      identity{};  // by content: "namespace=demo;label=value;..." (keys that selectors read)
  std::string workload_kind{};  // controller, e.g. "Deployment"; may be empty
  std::string workload_name{};

  bool operator==(const PodIntent&) const = default;
};

using PodKey = std::pair<std::string, std::string>;  // namespace, name; what pods are sorted by

// Complete: what is not in it is gone. Sorted by name, so that equal intents are equal values.
struct Intent {
  uint64_t revision = 0;  // grows with every change; not part of the comparison
  std::vector<NodeIntent> nodes{};
  std::vector<PodIntent> pods{};

  bool operator==(const Intent& other) const { return nodes == other.nodes && pods == other.pods; }
};

// What is another after some changes; in the order of the keys, and no key occurs twice.
struct IntentDelta {
  uint64_t revision = 0;  // of the intent that it leads to
  std::vector<std::shared_ptr<const NodeIntent>> nodes{};
  std::vector<std::string> removed_nodes{};
  std::vector<std::shared_ptr<const PodIntent>> pods{};
  std::vector<PodKey> removed_pods{};

  bool empty() const {
    return nodes.empty() && removed_nodes.empty() && pods.empty() && removed_pods.empty();
  }
};

PodKey key_of(const PodIntent& pod);
const NodeIntent* find_node(const Intent& intent, std::string_view name);  // null: there is none
const PodIntent* find_pod(const Intent& intent, std::string_view namespace_name,
                          std::string_view name);

// What leads from nothing to this intent.
IntentDelta everything(const Intent& intent);
// Brings the intent up to date; whether anything is another now. An object that stays is written
// in place; where some come or go, those behind them move up.
bool apply(const IntentDelta& delta, Intent& intent);

}  // namespace sluice
