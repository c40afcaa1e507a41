// SPDX-License-Identifier: Apache-2.0
// Tells Kubernetes that a node has a network once its agent has applied its first snapshot, and not
// before. Never takes it back: an agent that restarts leaves its data plane in place.
#pragma once

#include <asio/io_context.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "lib/backoff/backoff.h"
#include "lib/loop/timers.h"
#include "operator/source/kube/api_client.h"
#include "operator/stream/agent_state.h"

namespace sluice {

class NodeMarks {
 public:
  struct Limits {
    size_t in_flight = 16;  // nodes at once, one request each
    BackoffLimits backoff{.first = std::chrono::milliseconds(500),
                          .longest = std::chrono::milliseconds(60'000)};
  };
  struct Hooks {
    std::function<std::string()> now{};  // RFC 3339
    Random random{};
  };

  // api and timers outlive it.
  NodeMarks(asio::io_context& loop, ApiClient& api, Timers& timers, Limits limits, Hooks hooks);
  ~NodeMarks();
  NodeMarks(const NodeMarks&) = delete;
  NodeMarks& operator=(const NodeMarks&) = delete;

  // What an agent says of itself. Thread: any.
  void report(const AgentState& state);

  // Thread of all that follow: the loop's.
  // A Node that is made anew, perhaps by the same name, has to be told again.
  void node_removed(const std::string& name);
  void node_seen(const std::string& name);
  size_t pending() const { return queue_.size() + in_flight_; }
  uint64_t marked() const { return marked_; }      // nodes, since the start
  uint64_t failures() const { return failures_; }  // requests

 private:
  enum class Step : uint8_t { kQueued, kAsked, kWaiting, kDone };
  struct Node {
    std::string peer;  // of the stream that said it is ready
    Step step = Step::kDone;
    uint64_t turn = 0;  // what an earlier turn asked for does not count
    TimerId timer = 0;
    Backoff backoff;
  };
  using Nodes = std::map<std::string, Node>;
  using Next = void (NodeMarks::*)(const std::string&, const ApiAnswer&);

  bool is_connected(const std::string& node) const;
  void take(const std::string& node, const std::string& peer, bool ready);
  void enqueue(const std::string& name, Node& node);
  void work();
  void ask(const std::string& name, ApiCall call, Next next);
  void take_node(const std::string& name, const ApiAnswer& answer);
  void take_condition(const std::string& name, const ApiAnswer& answer);
  void take_taint(const std::string& name, const ApiAnswer& answer);
  void send_taint(const std::string& name);
  void done(const std::string& name);
  void retry(const std::string& name, const std::string& problem);

  asio::io_context& loop_;
  ApiClient& api_;
  Timers& timers_;
  const Limits limits_;
  const Hooks hooks_;

  mutable std::mutex mutex_;                 // guards told_
  std::map<std::string, std::string> told_;  // node -> peer of the stream that was handed on

  Nodes nodes_;                                // whose agents are ready
  std::map<std::string, std::string> taints_;  // patches that come after the condition
  std::deque<std::string> queue_;
  size_t in_flight_ = 0;
  uint64_t last_turn_ = 0;
  uint64_t marked_ = 0;
  uint64_t failures_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // answers may come when we are gone
};

}  // namespace sluice
