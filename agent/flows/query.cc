// SPDX-License-Identifier: Apache-2.0
#include "agent/flows/query.h"

#include <algorithm>
#include <utility>

#include "hubble/flow/counters.pb.h"

namespace sluice {

namespace {

constexpr size_t kReadAtOnce = 256;  // bounds how long the writer can find the log locked
constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kMaxSeconds = INT64_MAX / kSecondNs - 1;

Result<int64_t> unix_ns(const google::protobuf::Timestamp& timestamp, const std::string& field) {
  const bool nanos_fit = timestamp.nanos() >= 0 && timestamp.nanos() < kSecondNs;
  if (timestamp.seconds() < -kMaxSeconds || timestamp.seconds() > kMaxSeconds || !nanos_fit) {
    return fail(ErrorCode::kInvalid, field + ": the time is out of range");
  }
  return timestamp.seconds() * kSecondNs + timestamp.nanos();
}

}  // namespace

Result<FlowQuery> compile_query(const observer::GetFlowsRequest& request,
                                const std::string& node_name) {
  FlowQuery query;
  query.number = request.number();
  query.first = request.first();
  query.follow = request.follow();
  if (query.first && query.follow)
    return fail(ErrorCode::kInvalid, "first: cannot be set together with follow");
  if (request.has_since()) {
    auto since = unix_ns(request.since(), "since");
    if (!since) return fail(since.error());
    query.since_unix_ns = *since;
  }
  if (request.has_until()) {
    auto until = unix_ns(request.until(), "until");
    if (!until) return fail(until.error());
    query.until_unix_ns = *until;
  }
  if (request.has_extensions()) {
    sluice::flow::v1::ExtensionRequest wanted;
    if (!request.extensions().UnpackTo(&wanted)) {
      return fail(ErrorCode::kInvalid, "extensions: type \"" + request.extensions().type_url() +
                                           "\" is not sluice.flow.v1.ExtensionRequest");
    }
    query.wants_counters = wanted.counters();
  }
  auto filters = FlowFilters::compile(request, node_name);
  if (!filters) return fail(filters.error());
  query.filters = std::move(*filters);
  return query;
}

bool in_time_range(const FlowQuery& query, const EnrichedFlow& flow) {
  if (query.since_unix_ns && flow.time_unix_ns < *query.since_unix_ns) return false;
  return !query.until_unix_ns || flow.time_unix_ns <= *query.until_unix_ns;
}

FlowSelection select_past(const FlowLog& log, const FlowQuery& query) {
  FlowSelection selection;
  const uint64_t end = log.next();
  selection.next = end;
  if (query.follow && query.number == 0 && !query.since_unix_ns) return selection;

  const bool from_oldest = query.first || query.since_unix_ns.has_value();
  // A follower of a time gets all since then: it could not know what a limit cut off before the
  // present.
  const bool limited = query.number != 0 && !(query.follow && from_oldest);
  uint64_t matched = 0;
  uint64_t at = log.oldest();
  while (at < end && !(limited && from_oldest && matched == query.number)) {
    FlowBatch batch = log.read(at, std::min<uint64_t>(kReadAtOnce, end - at));
    if (batch.entries.empty()) break;
    at = batch.next;
    for (FlowEntry& entry : batch.entries) {
      if (entry.flow) {
        if (query.until_unix_ns && entry.flow->time_unix_ns > *query.until_unix_ns)
          selection.ended = true;
        if (!in_time_range(query, *entry.flow) || !query.filters.matches(*entry.flow)) continue;
        if (limited && from_oldest && matched == query.number) break;
        ++matched;
      }
      selection.entries.push_back(std::move(entry));
    }
  }
  if (from_oldest || !limited || matched <= query.number) return selection;
  uint64_t excess = matched - query.number;
  auto keep = selection.entries.begin();
  while (excess > 0) {
    if (keep->flow) --excess;
    ++keep;
  }
  // A loss before the first flow that is shown says nothing about those shown.
  while (!keep->flow) ++keep;
  selection.entries.erase(selection.entries.begin(), keep);
  return selection;
}

}  // namespace sluice
