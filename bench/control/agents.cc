// SPDX-License-Identifier: Apache-2.0
// Many agents in one process: each a real stream that reads, acknowledges, and comes back with what
// it holds when its operator goes. What all of them hold alike, the nodes, is kept once.
#include <spdlog/spdlog.h>

#include <chrono>
#include <condition_variable>
#include <queue>
#include <random>
#include <thread>
#include <vector>

#include "agent/control/held_intent.h"
#include "agent/control/operator_stream.h"
#include "bench/control/controlbench.h"
#include "lib/fd/fd.h"
#include "operator/stream/codec.h"
#include "operator/stream/protocol.h"

namespace sluice::bench {
namespace {

using Clock = std::chrono::steady_clock;

class Fleet;

// Thread: gRPC's, one at a time for each agent; connect: the fleet's.
class Agent {
 public:
  Agent(Fleet& fleet, size_t index) : fleet_(fleet), index_(index) {}
  void connect();

 private:
  void take(StreamUpdate update);

  Fleet& fleet_;
  const size_t index_;
  std::mutex mutex_;  // guards all below
  std::shared_ptr<OperatorStream> stream_;
  HeldIntent pods_;
  bool holds_ = false;
};

class Fleet {
 public:
  explicit Fleet(const Settings& settings)
      : settings_(settings), authorities_(*read_file(settings.folder + "/ca.pem")) {
    for (size_t i = 0; i < settings.agents; ++i)
      agents_.push_back(std::make_unique<Agent>(*this, settings.first + i));
  }
  [[noreturn]] void run() {
    for (auto& agent : agents_) later(*agent, {});
    while (true) next().connect();
  }
  void later(Agent& agent, Clock::duration delay) {
    const std::lock_guard lock(mutex_);
    queue_.emplace(Clock::now() + delay, &agent);
    changed_.notify_one();
  }
  // As agents do after a stream that was good: soon, but not all at once.
  Clock::duration jitter() {
    const std::lock_guard lock(mutex_);
    return std::chrono::milliseconds(std::uniform_int_distribution<>(0, 500)(random_));
  }
  // The nodes as the first agent has them, which are the same for all.
  void take_nodes(const StreamUpdate& update) {
    StreamUpdate nodes;
    nodes.snapshot = update.snapshot;
    nodes.nodes = update.nodes;
    const std::lock_guard lock(nodes_mutex_);
    nodes_.apply(std::move(nodes));
    nodes_digest_ = nodes_.digest();
  }
  std::string digest(const Intent& pods) {
    const std::lock_guard lock(nodes_mutex_);
    Digest digest = nodes_digest_;
    for (const PodIntent& pod : pods.pods)
      digest.add(bucket_of(pod_key({pod.namespace_name, pod.name})), encode(pod).hash);
    return digest.bytes();
  }
  const Settings& settings() const { return settings_; }
  const std::string& authorities() const { return authorities_; }

 private:
  Agent& next() {
    std::unique_lock lock(mutex_);
    while (true) {
      if (queue_.empty()) {
        changed_.wait(lock);
      } else if (const auto at = queue_.top().first; at > Clock::now()) {
        changed_.wait_until(lock, at);
      } else {
        Agent& agent = *queue_.top().second;
        queue_.pop();
        return agent;
      }
    }
  }

  const Settings settings_;
  const std::string authorities_;
  std::vector<std::unique_ptr<Agent>> agents_;
  std::mutex mutex_;  // guards queue_ and random_
  std::condition_variable changed_;
  std::priority_queue<std::pair<Clock::time_point, Agent*>,
                      std::vector<std::pair<Clock::time_point, Agent*>>, std::greater<>>
      queue_;
  std::mt19937 random_{7};
  std::mutex nodes_mutex_;  // guards both
  HeldIntent nodes_;
  Digest nodes_digest_;
};

void Agent::connect() {
  const std::string node = node_name(index_);
  control::v1::Hello hello;
  hello.set_node_name(node);
  hello.mutable_build()->set_version("bench");
  hello.set_newest_protocol(kNewestProtocol);
  hello.set_oldest_protocol(kOldestProtocol);
  const std::lock_guard lock(mutex_);
  if (holds_) hello.set_digest(fleet_.digest(pods_.intent()));
  stream_ =
      OperatorStream::open({.address = fleet_.settings().address,
                            .authorities_pem = fleet_.authorities(),
                            .token = kTokenStart + node},
                           std::move(hello),
                           {.on_welcome = [](const auto&) {},
                            .on_update = [this](StreamUpdate update) { take(std::move(update)); },
                            .on_end =
                                [this](const grpc::Status& status) {
                                  spdlog::debug("{}", status.error_message());
                                  fleet_.later(*this, fleet_.jitter());
                                }});
}

void Agent::take(StreamUpdate update) {
  const std::lock_guard lock(mutex_);
  control::v1::Ack ack;
  ack.set_revision(update.revision);
  if (index_ == fleet_.settings().first) fleet_.take_nodes(update);
  update.nodes.clear();
  pods_.apply(std::move(update));
  holds_ = true;
  stream_->send(std::move(ack));
  stream_->resume();
}

}  // namespace

int run_agents(const Settings& settings) {
  raise_descriptor_limit();
  Fleet(settings).run();
}

}  // namespace sluice::bench
