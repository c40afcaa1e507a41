// SPDX-License-Identifier: Apache-2.0
// Objects of the cluster to what nodes need: pure and memoryless, the same for every order of the
// input.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "operator/resolve/intent.h"
#include "operator/source/objects.h"

namespace sluice {

struct Resolution {
  Intent intent{};  // revision 0: the caller counts
  std::vector<SourceProblem> problems{};
};

// Where two objects claim the same thing, the one whose name sorts first keeps it and the other is
// reported: pod CIDRs that overlap (between nodes and within one), InternalIPs of two nodes,
// addresses of two pods. Thread: any; pure.
Resolution resolve(const Objects& objects);

// The name of an identity by content: "namespace=demo" and, for each key of `selector_keys` that
// `labels` has,
// ";key=value" in the order of the keys. Label syntax has neither ';' nor '=', so different content
// gives different names.
std::string identity_name(std::string_view namespace_name,
                          const std::map<std::string, std::string>& labels,
                          const std::set<std::string>& selector_keys);

}  // namespace sluice
