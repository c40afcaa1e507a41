// SPDX-License-Identifier: Apache-2.0
// The streams that are open: one a node, and those that have not said yet who they are.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace sluice {

class AgentStream;

// Keeps streams alive until they leave. Thread: any. Calls no stream.
class Roster {
 public:
  using Streams = std::vector<std::shared_ptr<AgentStream>>;

  void expect(std::shared_ptr<AgentStream> stream);
  // The newer stream of a node counts; returns the one that had its place.
  std::shared_ptr<AgentStream> admit(const std::string& node, AgentStream* stream);
  void leave(AgentStream* stream);

  Streams all() const;  // admitted ones
  Streams of(const std::set<std::string>& nodes) const;
  Streams overdue(std::chrono::steady_clock::time_point arrived_before) const;
  size_t admitted() const;
  bool empty() const;

 private:
  struct Guest {
    std::shared_ptr<AgentStream> stream;
    std::chrono::steady_clock::time_point arrived;
    std::string node;  // empty: not known yet
  };

  mutable std::mutex mutex_;  // guards both
  std::unordered_map<AgentStream*, Guest> guests_;
  std::unordered_map<std::string, AgentStream*> by_node_;
};

}  // namespace sluice
