// SPDX-License-Identifier: Apache-2.0
#include "agent/flows/filter.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <utility>

namespace sluice {

namespace {

Result<std::vector<FlowPredicate>> compile_filter(const FilterInput& input,
                                                  const std::string& place) {
  const google::protobuf::Reflection* reflection = input.filter.GetReflection();
  const auto& unknown = reflection->GetUnknownFields(input.filter);
  if (unknown.field_count() > 0) {
    return fail(ErrorCode::kInvalid, place + ": filter field number " +
                                         std::to_string(unknown.field(0).number()) +
                                         " is not known");
  }
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(input.filter, &fields);
  std::vector<FlowPredicate> predicates;
  for (const auto* field : fields) {
    const PredicateMaker make = predicate_maker(field->number());
    if (make == nullptr) {
      return fail(ErrorCode::kInvalid,
                  place + "." + field->name() + ": this filter is not supported");
    }
    auto predicate = make(input);
    if (!predicate) return fail(within(place + "." + field->name(), predicate.error()));
    predicates.push_back(std::move(*predicate));
  }
  return predicates;
}

}  // namespace

Result<std::vector<FlowFilters::Filter>> FlowFilters::compile_list(
    const google::protobuf::RepeatedPtrField<::flow::FlowFilter>& filters, const std::string& list,
    const std::string& node_name) {
  std::vector<Filter> compiled;
  for (int i = 0; i < filters.size(); ++i) {
    const FilterInput input{.filter = filters.Get(i), .node_name = node_name};
    auto filter = compile_filter(input, list + "[" + std::to_string(i) + "]");
    if (!filter) return fail(filter.error());
    compiled.push_back(std::move(*filter));
  }
  return compiled;
}

Result<FlowFilters> FlowFilters::compile(const observer::GetFlowsRequest& request,
                                         const std::string& node_name) {
  FlowFilters filters;
  auto whitelist = compile_list(request.whitelist(), "whitelist", node_name);
  if (!whitelist) return fail(whitelist.error());
  auto blacklist = compile_list(request.blacklist(), "blacklist", node_name);
  if (!blacklist) return fail(blacklist.error());
  filters.whitelist_ = std::move(*whitelist);
  filters.blacklist_ = std::move(*blacklist);
  return filters;
}

bool FlowFilters::matches(const EnrichedFlow& flow) const {
  const auto holds = [&](const Filter& filter) {
    return std::all_of(filter.begin(), filter.end(),
                       [&](const FlowPredicate& field) { return field(flow); });
  };
  if (!whitelist_.empty() && std::none_of(whitelist_.begin(), whitelist_.end(), holds))
    return false;
  return std::none_of(blacklist_.begin(), blacklist_.end(), holds);
}

}  // namespace sluice
