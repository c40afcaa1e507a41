// SPDX-License-Identifier: Apache-2.0
// One stream to one operator, from the attempt to connect to its end. gRPC's threads run it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/control/stream_update.h"
#include "control/v1/control.grpc.pb.h"
#include "operator/stream/agent_state.h"

namespace sluice {

// Where to and how; read anew for each stream, so that tokens and authorities can change.
struct StreamTarget {
  std::string address{};
  std::string authorities_pem{};  // whose signature an operator's certificate needs
  std::string token{};
  std::chrono::milliseconds keepalive_interval{10'000};
  std::chrono::milliseconds keepalive_timeout{5'000};
};

class OperatorStream final
    : public grpc::ClientBidiReactor<control::v1::AgentMessage, control::v1::OperatorMessage> {
 public:
  struct Welcome {
    std::string instance{};
    Build build{};
  };
  // Called from gRPC's threads, one at a time.
  struct Events {
    std::function<void(const Welcome&)> on_welcome;
    // Nothing more is read until `resume`.
    std::function<void(StreamUpdate)> on_update;
    std::function<void(const grpc::Status&)> on_end;  // the last call
  };

  static std::shared_ptr<OperatorStream> open(const StreamTarget& target, control::v1::Hello hello,
                                              Events events);

  // All: any thread, until on_end; later calls do nothing.
  void resume();
  // Of several that wait for their turn the last counts.
  void send(control::v1::Ack ack);
  void send(control::v1::Status status);
  void cancel();
  // Until on_end has returned.
  void wait() const { done_.wait(); }

 private:
  explicit OperatorStream(Events events) : events_(std::move(events)) {}
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  void flush();
  void close();

  const Events events_;
  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  control::v1::OperatorMessage in_;
  UpdateBuilder builder_;
  std::shared_ptr<OperatorStream> self_;  // until OnDone
  std::promise<void> done_promise_;
  std::shared_future<void> done_ = done_promise_.get_future().share();

  std::mutex mutex_;  // guards everything below
  bool writing_ = false;
  bool closed_ = false;             // nothing may be started any more
  bool held_ = true;                // gRPC waits for us before OnDone
  control::v1::AgentMessage next_;  // what waits to be sent
  bool has_next_ = false;
  control::v1::AgentMessage out_;
};

}  // namespace sluice
