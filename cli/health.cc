// SPDX-License-Identifier: Apache-2.0
#include "cli/health.h"

#include <algorithm>
#include <string>
#include <utility>

#include "cli/format.h"

namespace sluice::cli {

namespace {

using admin::v1::Problem;
using admin::v1::StatusResponse;

constexpr uint64_t kTableFailPercent = 95;
constexpr uint64_t kTableWarnPercent = 80;

struct Finding {
  const char* severity;
  std::string object;
  std::string message;
  std::string next_step;
};

void add(StatusResponse& status, Finding finding) {
  Problem& problem = *status.add_problems();
  problem.set_severity(finding.severity);
  problem.set_object(std::move(finding.object));
  problem.set_message(std::move(finding.message));
  problem.set_next_step(std::move(finding.next_step));
}

void judge_conditions(StatusResponse& status, int64_t now_ms) {
  for (const auto& condition : status.conditions()) {
    if (condition.ok()) continue;
    const int64_t for_ms = std::max<int64_t>(0, now_ms - condition.since_unix_ms());
    add(status,
        {.severity = "fail",
         .object = condition.name(),
         .message = condition.message() + " (for " + age_text(static_cast<uint64_t>(for_ms)) + ")",
         .next_step = ""});
  }
  if (status.ready()) return;
  add(status, {.severity = "fail",
               .object = "agent",
               .message = "the first full sync is not in the kernel yet: pods cannot be added",
               .next_step = "wait a moment and run `sluice status` again; if it stays, read the "
                            "agent's log from its start"});
}

void judge_pools(StatusResponse& status) {
  for (const auto& pool : status.pools()) {
    if (pool.total() == 0 || pool.used() + pool.resting() < pool.total()) continue;
    const bool full = pool.used() >= pool.total();
    add(status,
        {.severity = full ? "fail" : "warn",
         .object = "pool " + pool.cidr(),
         .message = full ? "all " + std::to_string(pool.total()) +
                               " addresses are in use: no further pod can start on this node"
                         : "no address is free until the " + std::to_string(pool.resting()) +
                               " that were freed last have rested",
         .next_step = full ? "remove pods from this node, or give it another pod CIDR"
                           : "new pods wait for up to 30 s; give the node a larger pod CIDR"});
  }
}

void judge_tables(StatusResponse& status) {
  for (const auto& table : status.tables()) {
    if (table.max_entries() == 0 || table.evicts()) continue;
    if (table.entries() < table.max_entries() / 100 * kTableWarnPercent) continue;
    const bool failing = table.entries() * 100 >= table.max_entries() * kTableFailPercent;
    if (!failing && table.entries() * 100 < table.max_entries() * kTableWarnPercent) continue;
    add(status,
        {.severity = failing ? "fail" : "warn",
         .object = "table " + table.name(),
         .message = std::to_string(table.entries()) + " of " + std::to_string(table.max_entries()) +
                    " rows are taken; when it is full, what is new is refused",
         .next_step = "raise its size in /etc/sluice/agent.yaml and restart the agent "
                      "(traffic stays)"});
  }
}

void judge_endpoints(StatusResponse& status, const admin::v1::EndpointsResponse& endpoints) {
  for (const auto& endpoint : endpoints.endpoints()) {
    if (endpoint.state() == "ready") continue;
    const std::string name = endpoint.pod_name().empty()
                                 ? endpoint.host_device()
                                 : endpoint.pod_namespace() + "/" + endpoint.pod_name();
    add(status, {.severity = "fail",
                 .object = "endpoint " + name,
                 .message = endpoint.state(),
                 .next_step = "sluice endpoint get " + name +
                              "; the agent's log names the step that failed"});
  }
}

void judge_progress(StatusResponse& status) {
  if (status.applied_revision() < status.intent_revision()) {
    add(status,
        {.severity = "warn",
         .object = "intent",
         .message = "revision " + std::to_string(status.applied_revision()) +
                    " is in the kernel, " + std::to_string(status.intent_revision()) + " is wanted",
         .next_step = "run `sluice status` again; if it stays, the agent's log names the "
                      "row that the kernel refused"});
  }
  if (status.events_lost() > 0) {
    add(status, {.severity = "warn",
                 .object = "events",
                 .message = plural(status.events_lost(), "event") +
                            " did not fit the ring since the agent started: flows miss them, "
                            "packets were not touched",
                 .next_step = "raise the size of the event ring in /etc/sluice/agent.yaml"});
  }
}

}  // namespace

void conclude(StatusResponse& status, const admin::v1::EndpointsResponse& endpoints,
              int64_t now_ms) {
  status.clear_problems();
  judge_conditions(status, now_ms);
  judge_pools(status);
  judge_endpoints(status, endpoints);
  judge_tables(status);
  judge_progress(status);

  auto& problems = *status.mutable_problems();
  std::stable_partition(problems.begin(), problems.end(),
                        [](const Problem& problem) { return problem.severity() == "fail"; });
  status.set_healthy(problems.empty() || problems.begin()->severity() != "fail");
}

}  // namespace sluice::cli
