// SPDX-License-Identifier: Apache-2.0
// Tells Kubernetes that a node has a network.
#include "operator/nodes/node_marks.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <asio/post.hpp>
#include <utility>

#include "operator/nodes/patches.h"
#include "operator/source/kube/answers.h"

namespace sluice {
namespace {

std::string path_of(const std::string& node) {
  return "/api/v1/nodes/" + escaped(node);
}

}  // namespace

NodeMarks::NodeMarks(asio::io_context& loop, ApiClient& api, Timers& timers, Limits limits,
                     Hooks hooks)
    : loop_(loop), api_(api), timers_(timers), limits_(limits), hooks_(std::move(hooks)) {}

NodeMarks::~NodeMarks() {
  for (const auto& [name, node] : nodes_) timers_.cancel(node.timer);
}

// Agents report with every acknowledgement: only what is new goes to the loop.
void NodeMarks::report(const AgentState& state) {
  // An agent that starts from its disk is ready before it has anything of ours.
  const bool ready = state.connected && state.ready && state.acked > 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = told_.find(state.node);
    if (ready) {
      if (found != told_.end() && found->second == state.peer) return;
      told_[state.node] = state.peer;
    } else {
      // A node's older stream may end after its newer one began.
      if (state.connected || found == told_.end() || found->second != state.peer) return;
      told_.erase(found);
    }
  }
  asio::post(loop_,
             [this, weak = std::weak_ptr(alive_), node = state.node, peer = state.peer, ready] {
               if (!weak.expired()) take(node, peer, ready);
             });
}

void NodeMarks::take(const std::string& name, const std::string& peer, bool ready) {
  const auto found = nodes_.find(name);
  if (ready) {
    if (found != nodes_.end()) {
      found->second.peer = peer;
      if (found->second.step == Step::kDone) enqueue(name, found->second);
      return;
    }
    const auto added =
        nodes_.emplace(name, Node{.peer = peer,
                                  .step = Step::kDone,
                                  .turn = 0,
                                  .timer = 0,
                                  .backoff = Backoff(limits_.backoff, hooks_.random)});
    return enqueue(name, added.first->second);
  }
  // What is under way goes on: the agent has been ready, and its data plane stays.
  if (found == nodes_.end() || found->second.peer != peer || found->second.step != Step::kDone)
    return;
  nodes_.erase(found);
}

void NodeMarks::node_removed(const std::string& name) {
  const auto found = nodes_.find(name);
  if (found == nodes_.end()) return;
  timers_.cancel(std::exchange(found->second.timer, 0));
  if (!is_connected(name)) {
    nodes_.erase(found);
    return;
  }
  found->second.step = Step::kDone;
  found->second.turn = 0;
}

bool NodeMarks::is_connected(const std::string& node) const {
  const std::lock_guard lock(mutex_);
  return told_.contains(node);
}

void NodeMarks::node_seen(const std::string& name) {
  const auto found = nodes_.find(name);
  if (found != nodes_.end() && found->second.step == Step::kDone && found->second.turn == 0)
    enqueue(name, found->second);
}

void NodeMarks::enqueue(const std::string& name, Node& node) {
  node.step = Step::kQueued;
  node.turn = ++last_turn_;
  queue_.push_back(name);
  work();
}

void NodeMarks::work() {
  while (in_flight_ < limits_.in_flight && !queue_.empty()) {
    const std::string name = std::move(queue_.front());
    queue_.pop_front();
    const auto node = nodes_.find(name);
    if (node == nodes_.end() || node->second.step != Step::kQueued) continue;
    node->second.step = Step::kAsked;
    ask(name, {.target = path_of(name)}, &NodeMarks::take_node);
  }
}

void NodeMarks::ask(const std::string& name, ApiCall call, Next next) {
  ++in_flight_;
  const uint64_t turn = nodes_.at(name).turn;
  api_.request(std::move(call), [this, weak = std::weak_ptr(alive_), name, turn,
                                 next](const Result<ApiAnswer>& answer) {
    if (weak.expired()) return;
    --in_flight_;
    const auto node = nodes_.find(name);
    if (node != nodes_.end() && node->second.turn == turn) {
      if (answer) {
        (this->*next)(name, *answer);
      } else {
        retry(name, answer.error().message());
      }
    }
    work();
  });
}

void NodeMarks::take_node(const std::string& name, const ApiAnswer& answer) {
  if (answer.status == 404) return node_removed(name);  // it is told when it is there
  if (!answer.good()) return retry(name, error_of("GET", path_of(name), answer).message());
  auto patches = node_patches(answer.body, hooks_.now());
  if (!patches) return retry(name, patches.error().message());
  taints_.erase(name);
  if (patches->taint) taints_[name] = std::move(*patches->taint);
  if (!patches->condition) return send_taint(name);
  ask(name,
      {.method = "PATCH",
       .target = path_of(name) + "/status",
       .content_type = "application/strategic-merge-patch+json",
       .body = std::move(*patches->condition)},
      &NodeMarks::take_condition);
}

void NodeMarks::take_condition(const std::string& name, const ApiAnswer& answer) {
  if (!answer.good())
    return retry(name, error_of("PATCH", path_of(name) + "/status", answer).message());
  send_taint(name);
}

void NodeMarks::send_taint(const std::string& name) {
  auto patch = taints_.extract(name);
  if (patch.empty()) return done(name);
  ask(name,
      {.method = "PATCH",
       .target = path_of(name),
       .content_type = "application/json-patch+json",
       .body = std::move(patch.mapped())},
      &NodeMarks::take_taint);
}

void NodeMarks::take_taint(const std::string& name, const ApiAnswer& answer) {
  // 422: the taints are others by now. Whatever it is, the next turn reads the node anew.
  if (!answer.good()) return retry(name, error_of("PATCH", path_of(name), answer).message());
  done(name);
}

void NodeMarks::done(const std::string& name) {
  Node& node = nodes_.at(name);
  node.step = Step::kDone;
  node.backoff.reset();
  ++marked_;
  spdlog::info("node {}: its agent is ready, and the cluster knows", name);
}

void NodeMarks::retry(const std::string& name, const std::string& problem) {
  Node& node = nodes_.at(name);
  ++failures_;
  node.step = Step::kWaiting;
  const auto wait = node.backoff.next();
  spdlog::warn("node {}: cannot be marked as ready: {}; tried again in {} ms", name, problem,
               wait.count());
  node.timer = timers_.after(wait, [this, name] {
    const auto found = nodes_.find(name);
    if (found == nodes_.end() || found->second.step != Step::kWaiting) return;
    found->second.timer = 0;
    enqueue(name, found->second);
  });
}

}  // namespace sluice
