// SPDX-License-Identifier: Apache-2.0
// One predicate maker for each field of flow.FlowFilter that Sluice supports.
#pragma once

#include <functional>
#include <string>

#include "agent/enrich/flow.h"
#include "hubble/flow/flow.pb.h"
#include "lib/result/result.h"

namespace sluice {

using FlowPredicate = std::function<bool(const EnrichedFlow&)>;

// What a maker reads: the filter, and the name that the node_name field is compared with.
struct FilterInput {
  const ::flow::FlowFilter& filter;
  const std::string& node_name;
};

using PredicateMaker = Result<FlowPredicate> (*)(const FilterInput&);

// The maker of a field, by its number; null for one that is not supported. A maker is called only
// where its field has at least one value; its predicate holds where any of the values matches.
// Errors: kInvalid with the value.
PredicateMaker predicate_maker(int field_number);

}  // namespace sluice
