// SPDX-License-Identifier: Apache-2.0
#include "cli/health.h"

#include <algorithm>
#include <functional>
#include <map>
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

// By the names that the agent gives its conditions.
const char* condition_step(const std::string& name) {
  static const std::map<std::string, const char*, std::less<>> kSteps = {
      {"addresses",
       "see that the agent's state folder (stateDir, /var/lib/sluice) can be written and has room; "
       "what failed is tried again by itself"},
      {"cni",
       "see that cniBinDir and cniConfDir can be written and cniBinary is there; it is tried again "
       "every 60 s"},
      {"conntrack",
       "connections work, but old rows stay: read the agent's log; if it goes on, restart the "
       "agent "
       "(traffic stays)"},
      {"datapath",
       "sluice check says what this host lacks, the agent's log names each object that failed; it "
       "is tried again every 60 s"},
      {"intent",
       "mend what it names in the cluster or in the folder of manifests (standaloneDir); the agent "
       "reads it again by itself"},
      {"node",
       "ip -br address shows what the host has: correct status.addresses of the Node, or give the "
       "host that address"},
      {"state",
       "pods that run go on; the agent needs the folder at its next start, and tries again by "
       "itself"},
      {"operator",
       "see that an operator runs and that operator.addresses names it; pods keep all they have, "
       "and "
       "it is tried again by itself"},
      {"uplinks",
       "ip -br address shows the devices; name them as devices in /etc/sluice/agent.yaml and "
       "restart the agent (traffic stays)"},
  };
  const auto found = kSteps.find(name);
  return found == kSteps.end() ? "read the agent's log" : found->second;
}

void judge_conditions(StatusResponse& status, int64_t now_ms) {
  for (const auto& condition : status.conditions()) {
    if (condition.ok()) continue;
    const int64_t for_ms = std::max<int64_t>(0, now_ms - condition.since_unix_ms());
    add(status,
        {.severity = "fail",
         .object = condition.name(),
         .message = condition.message() + " (for " + age_text(static_cast<uint64_t>(for_ms)) + ")",
         .next_step = condition_step(condition.name())});
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

// The sizes of the others are no settings.
std::string table_step(const std::string& name) {
  if (name == "sl_ct" || name == "sl_nat") {
    return "raise conntrack.maxEntries in /etc/sluice/agent.yaml; a new size takes effect after "
           "`sluice-agent cleanup`, which interrupts the pods' connections";
  }
  if (name == "sl_endpoint") return "its size is fixed: run fewer pods on this node";
  if (name == "sl_device") return "its size is fixed: this node has too many pods and uplinks";
  if (name == "sl_identity") return "its size is fixed: the cluster has too many pods and nodes";
  if (name == "sl_drops") {
    return "its size is fixed: further drops are not told apart here, `sluice observe --verdict "
           "dropped` shows them";
  }
  return "its size is fixed: report this with the output of sluice status -o json";
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
         .next_step = table_step(table.name())});
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
    add(status, {.severity = "warn",
                 .object = "intent",
                 .message = "revision " + std::to_string(status.applied_revision()) +
                            " is in the kernel, " + std::to_string(status.intent_revision()) +
                            " has arrived",
                 .next_step = "run `sluice status` again; if it stays, the agent's log names the "
                              "row that the kernel refused"});
  }
  if (status.events_lost() > 0) {
    add(status, {.severity = "warn",
                 .object = "events",
                 .message = plural(status.events_lost(), "event") +
                            " did not fit the ring since the agent started: flows miss them, "
                            "packets were not touched",
                 .next_step = "counters (sluice drops, /metrics) have them all; if it goes on, the "
                              "agent gets too little CPU for the connections of this node"});
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
