// SPDX-License-Identifier: Apache-2.0
// The operator's figures for machines: a snapshot that the loop publishes, and its Prometheus text.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "operator/stream/agent_state.h"

namespace sluice {

struct KindFigures {
  std::string kind{};
  uint64_t objects = 0;
  uint64_t changes = 0;
  uint64_t decode_errors = 0;
  uint64_t lists = 0;
  uint64_t watches = 0;
  std::map<std::string, uint64_t> restarts{};  // by reason
  bool synced = false;
  double lag_s = 0;
};

struct StreamFigures {
  uint64_t connected = 0;
  std::map<std::string, uint64_t> refused{};   // by cause
  std::map<std::string, uint64_t> openings{};  // snapshot, difference, resumed, restarted
  uint64_t superseded = 0;
  uint64_t messages = 0;
  uint64_t bytes = 0;
  uint64_t revision = 0;
  uint64_t objects = 0;
};
StreamFigures stream_figures(const StreamCounters& counters);

struct OperatorFigures {
  std::string version{};
  std::string commit{};
  std::vector<KindFigures> kinds{};
  std::map<std::string, uint64_t> requests{};  // to the API server, by outcome
  uint64_t failovers = 0;
  uint64_t intent_problems = 0;
  bool leads = false;
  int64_t certificate_until = 0;  // seconds since 1970; 0: none yet
  uint64_t nodes_marked = 0;
  uint64_t nodes_pending = 0;
  uint64_t node_failures = 0;
  StreamFigures stream{};
  std::vector<std::string> failing{};  // what keeps this replica from serving agents
};

// All metrics in the text format 0.0.4. Pure.
std::string metrics_text(const OperatorFigures& figures);

// The door from the loop to the threads that answer scrapes and probes. Thread: any.
class PublishedFigures {
 public:
  using Time = std::chrono::steady_clock::time_point;

  void set(OperatorFigures figures, Time now);
  OperatorFigures get() const;
  // For /healthz; a loop that publishes nothing any more is a failure too.
  std::vector<std::string> failing(Time now) const;

 private:
  mutable std::mutex mutex_;  // guards both
  OperatorFigures figures_;
  Time at_{};
};

}  // namespace sluice
