// SPDX-License-Identifier: Apache-2.0
// What one GetFlows call asks of the flow log, and the part of the past that answers it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/flows/filter.h"
#include "agent/flows/flow_log.h"
#include "hubble/observer/observer.pb.h"
#include "lib/result/result.h"

namespace sluice {

struct FlowQuery {
  uint64_t number = 0;  // at most so many of the past; 0: all (with follow and no since: none)
  bool first = false;   // count from the oldest
  bool follow = false;
  std::optional<int64_t> since_unix_ns;  // inclusive
  std::optional<int64_t>
      until_unix_ns;  // inclusive; with follow: the stream ends at the first later flow
  FlowFilters filters;
  bool wants_counters = false;
};

// Errors: kInvalid names the field: a filter (see FlowFilters), first with follow, a timestamp out
// of range, an extension of a type that is not ours.
Result<FlowQuery> compile_query(const observer::GetFlowsRequest& request,
                                const std::string& node_name);

struct FlowSelection {
  std::vector<FlowEntry> entries;  // in order; losses of the kernel's ring stay where they happened
  uint64_t next = 0;               // where following goes on
  bool ended = false;              // a flow later than `until` was seen: nothing more will come
};

// number counts from the oldest where `first` or `since` is set, else the newest `number` that
// match are taken. Holds references to at most the log's capacity of flows.
FlowSelection select_past(const FlowLog& log, const FlowQuery& query);

bool in_time_range(const FlowQuery& query, const EnrichedFlow& flow);

}  // namespace sluice
