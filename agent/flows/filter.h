// SPDX-License-Identifier: Apache-2.0
// Which flows a client asked for: FlowFilter messages compiled to predicates over EnrichedFlow.
#pragma once

#include <string>
#include <vector>

#include "agent/enrich/flow.h"
#include "agent/flows/filter_fields.h"
#include "hubble/observer/observer.pb.h"
#include "lib/result/result.h"

namespace sluice {

class FlowFilters {
 public:
  // Several filters of a list are alternatives, the fields of one filter must all match, the values
  // of one field are alternatives. An empty whitelist lets all through; the blacklist then takes
  // away. node_name: of this agent, what the node_name filter is compared with. Errors: kInvalid
  // names the field and the value; also for a field that we do not support: none is ignored.
  static Result<FlowFilters> compile(const observer::GetFlowsRequest& request,
                                     const std::string& node_name);

  bool matches(const EnrichedFlow& flow) const;  // any thread

 private:
  using Filter = std::vector<FlowPredicate>;  // all must hold

  static Result<std::vector<Filter>> compile_list(
      const google::protobuf::RepeatedPtrField<::flow::FlowFilter>& filters,
      const std::string& list, const std::string& node_name);

  std::vector<Filter> whitelist_;
  std::vector<Filter> blacklist_;
};

}  // namespace sluice
