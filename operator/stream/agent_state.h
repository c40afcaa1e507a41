// SPDX-License-Identifier: Apache-2.0
// What the operator knows of an agent and counts of all of them. Plain data.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace sluice {

struct Build {
  std::string version{};
  std::string commit{};
};

// One object that an agent could not put into its kernel, or could not read.
struct ObjectFault {
  std::string kind{};  // "Pod"; empty: not about one object
  std::string namespace_name{};
  std::string name{};
  std::string message{};

  bool operator==(const ObjectFault&) const = default;
};

struct AgentState {
  std::string node{};
  Build build{};
  std::string peer{};
  bool connected = true;
  uint64_t sent = 0;   // revision of the last mark
  uint64_t acked = 0;  // the kernel holds it
  size_t pending = 0;  // objects that are yet to be sent; only where it was asked for
  bool ready = false;
  std::string not_ready{};
  std::vector<std::string> failing{};
  std::vector<ObjectFault> faults{};
  uint32_t faults_left_out = 0;
  uint64_t ignored = 0;  // changes of kinds that the agent does not know
};

struct StreamCounters {
  std::atomic<uint64_t> refused_token{0};     // none, invalid, of another account or audience
  std::atomic<uint64_t> refused_node{0};      // a good token, for another node
  std::atomic<uint64_t> refused_protocol{0};  // no common protocol, or not understood
  std::atomic<uint64_t> refused_later{0};  // not listed yet, API server away, too slow: try again
  std::atomic<uint64_t> superseded{0};     // by a newer stream of the same node
  std::atomic<uint64_t> snapshots{0};      // of agents that hold nothing
  std::atomic<uint64_t> differences{0};    // parts only: the agent holds the rest
  std::atomic<uint64_t> resumed{0};        // nothing at all: the agent held everything
  std::atomic<uint64_t> restarted{0};      // too far behind to be told what was removed
  std::atomic<uint64_t> messages{0};
  std::atomic<uint64_t> records{0};
  std::atomic<uint64_t> bytes{0};
};

}  // namespace sluice
