// SPDX-License-Identifier: Apache-2.0
// Objects of the cluster to what nodes need, change by change. The result depends on the objects
// that there are, never on the order in which they came.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "operator/resolve/address_claims.h"
#include "operator/resolve/cidr_claims.h"
#include "operator/resolve/intent.h"
#include "operator/source/changes.h"

namespace sluice {

// Where two objects claim the same thing, the one whose name sorts first keeps it and the other is
// reported: pod CIDRs that overlap (between nodes and within one), InternalIPs of two nodes,
// addresses of two pods. No clock, no I/O. Thread: one at a time.
class Resolver {
 public:
  // Costs what the changes touch, not what there is. Removing what is not there changes nothing.
  IntentDelta apply(std::span<const ObjectChange> changes);

  Intent intent() const;                        // all of it; revision 0: the caller counts
  std::vector<SourceProblem> problems() const;  // costs what there is to report

 private:
  struct Node {
    NodeObject object;
    std::shared_ptr<const NodeIntent> intent;
  };
  struct Pod {
    std::shared_ptr<const PodIntent> wanted;  // with every address it claims: none once finished
    Origin origin;
    std::shared_ptr<const PodIntent> intent;  // the same one where it got them all
  };
  struct Round;

  void take(const NodeObject& node, bool removed, Round& round);
  void take(const PodObject& pod, bool removed, Round& round);
  // Nothing that a node needs follows from these yet. A kind that is not named here does not
  // compile.
  static void take(const NamespaceObject&, bool, Round&) {}
  static void take(const ServiceObject&, bool, Round&) {}
  static void take(const CustomObject&, bool, Round&) {}
  void claim(const Node& node, bool wanted, Round& round);
  void claim(const PodKey& key, const Pod& pod, bool wanted, Round& round);
  void decide_node(const std::string& name, Round& round);
  void decide_pod(const PodKey& key, Round& round);
  std::vector<Address> granted(const PodKey& key, const Pod& pod,
                               std::vector<SourceProblem>& problems) const;

  std::map<std::string, Node> nodes_;
  std::map<PodKey, Pod> pods_;
  std::map<std::string, std::vector<SourceProblem>> node_problems_;  // of those that have any
  std::map<PodKey, std::vector<SourceProblem>> pod_problems_;
  AddressClaims<std::string> node_addresses_;
  AddressClaims<PodKey> pod_addresses_;
  CidrClaims cidrs_;
  std::set<std::string> selector_keys_;  // none: no kind that selects pods is read yet
};

// The name of an identity by content: "namespace=demo" and, for each key of `selector_keys` that
// `labels` has, ";key=value" in the order of the keys. Label syntax has neither ';' nor '=', so
// different content gives different names.
std::string identity_name(std::string_view namespace_name,
                          const std::map<std::string, std::string>& labels,
                          const std::set<std::string>& selector_keys);

}  // namespace sluice
