// SPDX-License-Identifier: Apache-2.0
// One agent's stream in the operator: finds out who it is, then sends what its span has and the
// agent has not, one message at a time. gRPC's threads run it; it only reads what was published.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "operator/stream/agent_state.h"
#include "operator/stream/identity.h"
#include "operator/stream/spans.h"

namespace sluice {

class Roster;

namespace control::v1 {
class Ack;
class AgentMessage;
class Hello;
class OperatorMessage;
class Status;
}  // namespace control::v1

// What all streams of a server share; outlives them.
struct StreamWorld {
  Build build{};
  std::string instance{};
  IdentityRules rules{};
  TokenReviewer& reviewer;
  Spans& spans;
  Roster& roster;
  StreamCounters& counters;
  const std::atomic<bool>& synced;
  std::function<void(const AgentState&)> on_report{};  // may be empty; any thread
};

class AgentStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                          public std::enable_shared_from_this<AgentStream> {
 public:
  AgentStream(StreamWorld& world, grpc::CallbackServerContext* context);
  ~AgentStream() override;

  // Once the roster has it. All calls: any thread.
  void start();
  // Sends the next message if none is under way and there is something to say.
  void pump();
  // Ends the stream after the message that is under way.
  void end(grpc::Status status);
  // Ends it now, also when the agent does not read.
  void abort(grpc::Status status);
  AgentState state(bool with_pending) const;

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override {}
  void OnDone() override;

  void refuse(std::atomic<uint64_t>& counter, grpc::Status status);
  void take_review(Result<TokenReview> review);
  void take_hello(const control::v1::Hello& hello);
  void take_ack(const control::v1::Ack& ack);
  void take_status(const control::v1::Status& status);
  void admit_if_known();
  std::optional<grpc::Status> check(const control::v1::Hello& hello, const TokenReview& review);
  void admit(const control::v1::Hello& hello);
  void open(const std::optional<Digest>& held);
  bool compose();
  void compose_opening(control::v1::OperatorMessage& head, std::vector<grpc::Slice>& body);
  bool compose_changes(std::vector<grpc::Slice>& body);
  void mark(uint64_t revision);
  void report();

  StreamWorld& world_;
  grpc::CallbackServerContext* context_;
  const std::string peer_;
  grpc::ByteBuffer in_;

  mutable std::mutex mutex_;  // guards everything below
  std::unique_ptr<control::v1::Hello> hello_;
  std::optional<TokenReview> review_;
  bool admitted_ = false;
  bool left_ = false;  // a review may still come
  bool welcomed_ = false;
  bool writing_ = false;
  bool finished_ = false;               // Finish was called: nothing may follow
  std::optional<grpc::Status> ending_;  // to be called once the write is done
  grpc::ByteBuffer out_;
  std::optional<Spans::Opening> opening_;  // while it is being sent
  size_t opening_sent_ = 0;
  uint64_t cursor_ = 0;
  uint64_t settled_ = 0;  // every change up to here, or a later one of the same object, was sent
  size_t unmarked_ = 0;   // bytes since the last mark
  std::optional<uint64_t> mark_;  // for the message that is being composed
  AgentState state_;
};

}  // namespace sluice
