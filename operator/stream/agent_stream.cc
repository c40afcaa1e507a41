// SPDX-License-Identifier: Apache-2.0
// One agent's stream in the operator.
#include "operator/stream/agent_stream.h"

#include <grpcpp/impl/codegen/proto_utils.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "control/v1/control.pb.h"
#include "operator/stream/protocol.h"
#include "operator/stream/roster.h"

namespace sluice {
namespace {

namespace wire = control::v1;

// Small enough that an agent on a thin line acknowledges life often, large enough to fill a fat
// one.
constexpr size_t kMessageBytes = size_t{256} << 10;
// An agent that never catches up acts on what it has at least this often.
constexpr size_t kMarkBytes = size_t{1} << 20;
constexpr int kMaxFaults = 100;
constexpr size_t kLoggedFaults = 5;
constexpr int kMaxFailing = 32;
constexpr size_t kMaxNodeName = 253;

// The rest is in `sluice status`.
void log_faults(const std::string& node, const std::vector<ObjectFault>& faults) {
  for (size_t i = 0; i < std::min(faults.size(), kLoggedFaults); ++i) {
    const ObjectFault& fault = faults[i];
    spdlog::warn("agent {}: {} {}{}{}: {}{}", node, fault.kind, fault.namespace_name,
                 fault.namespace_name.empty() ? "" : "/", fault.name, fault.message,
                 i + 1 == kLoggedFaults && faults.size() > kLoggedFaults ? " (and more)" : "");
  }
}

std::optional<wire::AgentMessage> parse(grpc::ByteBuffer& buffer) {
  wire::AgentMessage message;
  const auto status = grpc::SerializationTraits<wire::AgentMessage>::Deserialize(&buffer, &message);
  if (!status.ok()) return std::nullopt;
  return message;
}

}  // namespace

AgentStream::AgentStream(StreamWorld& world, grpc::CallbackServerContext* context)
    : world_(world), context_(context), peer_(context->peer()) {
  state_.peer = peer_;
}

AgentStream::~AgentStream() = default;

void AgentStream::start() {
  const auto& metadata = context_->client_metadata();
  const auto authorization = metadata.find("authorization");
  const std::string token =
      authorization == metadata.end()
          ? std::string{}
          : bearer_token({authorization->second.data(), authorization->second.size()});
  if (token.empty()) {
    return refuse(world_.counters.refused_token,
                  {grpc::StatusCode::UNAUTHENTICATED,
                   "no token: metadata \"authorization: Bearer TOKEN\" is missing"});
  }
  StartRead(&in_);
  world_.reviewer.review(token, world_.rules.audience,
                         [weak = weak_from_this()](Result<TokenReview> review) {
                           if (const auto self = weak.lock()) self->take_review(std::move(review));
                         });
}

void AgentStream::refuse(std::atomic<uint64_t>& counter, grpc::Status status) {
  counter.fetch_add(1);
  spdlog::warn("control stream of {} refused: {}", peer_, status.error_message());
  end(std::move(status));
}

void AgentStream::OnReadDone(bool ok) {
  if (!ok) return end(grpc::Status::OK);
  const auto message = parse(in_);
  in_.Clear();
  if (!message) {
    return refuse(world_.counters.refused_protocol,
                  {grpc::StatusCode::INVALID_ARGUMENT, "not an AgentMessage"});
  }
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = !hello_;
  }
  if (first != message->has_hello()) {
    return refuse(world_.counters.refused_protocol,
                  {grpc::StatusCode::INVALID_ARGUMENT,
                   first ? "hello: missing in the first message" : "hello: sent twice"});
  }
  if (first) take_hello(message->hello());
  if (message->has_ack()) take_ack(message->ack());
  if (message->has_status()) take_status(message->status());
  if (message->has_ack() || message->has_status()) report();
  StartRead(&in_);
}

void AgentStream::take_review(Result<TokenReview> review) {
  if (!review) {
    return refuse(world_.counters.refused_later,
                  {grpc::StatusCode::UNAVAILABLE,
                   "the token could not be reviewed: " + review.error().message()});
  }
  {
    const std::lock_guard lock(mutex_);
    if (review_) return;
    review_ = std::move(*review);
  }
  admit_if_known();
}

void AgentStream::take_hello(const wire::Hello& hello) {
  {
    const std::lock_guard lock(mutex_);
    hello_ = std::make_unique<wire::Hello>(hello);
  }
  admit_if_known();
}

void AgentStream::admit_if_known() {
  wire::Hello hello;
  TokenReview review;
  {
    const std::lock_guard lock(mutex_);
    if (!hello_ || !review_ || admitted_ || finished_ || ending_) return;
    admitted_ = true;  // whoever came second goes on
    hello = *hello_;
    hello_->clear_digest();
    review = *review_;
  }
  if (auto refusal = check(hello, review)) {
    {
      const std::lock_guard lock(mutex_);
      admitted_ = false;
    }
    return end(std::move(*refusal));
  }
  admit(hello);
  pump();
}

// Counts and logs what it refuses. A stranger learns nothing of the cluster from the answers.
std::optional<grpc::Status> AgentStream::check(const wire::Hello& hello,
                                               const TokenReview& review) {
  const auto refused = [&](std::atomic<uint64_t>& counter, grpc::StatusCode code,
                           const std::string& why) {
    counter.fetch_add(1);
    spdlog::warn("control stream of {} as node \"{}\" refused: {}", peer_,
                 hello.node_name().substr(0, kMaxNodeName), why);
    return grpc::Status(code, why);
  };
  StreamCounters& counters = world_.counters;
  if (hello.node_name().empty() || hello.node_name().size() > kMaxNodeName) {
    return refused(counters.refused_protocol, grpc::StatusCode::INVALID_ARGUMENT,
                   "hello.node_name: has to have 1 to 253 bytes");
  }
  if (const auto agent = check_account(review, world_.rules); !agent) {
    return refused(counters.refused_token,
                   review.authenticated ? grpc::StatusCode::PERMISSION_DENIED
                                        : grpc::StatusCode::UNAUTHENTICATED,
                   agent.error().message());
  }
  if (const auto own = check_node(review, hello.node_name()); !own) {
    return refused(counters.refused_node, grpc::StatusCode::PERMISSION_DENIED,
                   own.error().message());
  }
  if (!common_protocol(hello.oldest_protocol(), hello.newest_protocol())) {
    return refused(counters.refused_protocol, grpc::StatusCode::FAILED_PRECONDITION,
                   "agent " + hello.build().version() + " speaks protocols " +
                       std::to_string(hello.oldest_protocol()) + " to " +
                       std::to_string(hello.newest_protocol()) + ", operator " +
                       world_.build.version + " speaks " + std::to_string(kOldestProtocol) +
                       " to " + std::to_string(kNewestProtocol) +
                       ": bring them at most one version apart");
  }
  if (!world_.synced) {
    return refused(counters.refused_later, grpc::StatusCode::UNAVAILABLE,
                   "this operator has not listed the cluster yet");
  }
  return std::nullopt;
}

void AgentStream::admit(const wire::Hello& hello) {
  const std::string& node = hello.node_name();
  {
    const std::lock_guard lock(mutex_);
    if (left_) return;
    world_.spans.attach(node);
    state_.node = node;
    state_.build = {.version = hello.build().version(), .commit = hello.build().commit()};
    open(Digest::parse(hello.digest()));
  }
  const auto before = world_.roster.admit(node, this);
  spdlog::info("agent {} {} from {}: stream open", node, hello.build().version(), peer_);
  if (before) {
    world_.counters.superseded.fetch_add(1);
    before->abort({grpc::StatusCode::ABORTED, "a newer stream of this node took over"});
  }
  report();
}

// With the lock.
void AgentStream::open(const std::optional<Digest>& held) {
  opening_ = world_.spans.open(state_.node, held);
  opening_sent_ = 0;
  auto& counter = !held                      ? world_.counters.snapshots
                  : opening_->buckets.none() ? world_.counters.resumed
                                             : world_.counters.differences;
  counter.fetch_add(1);
}

void AgentStream::pump() {
  {
    const std::lock_guard lock(mutex_);
    if (!admitted_ || state_.node.empty() || writing_ || finished_ || ending_) return;
    if (!compose()) return;
    writing_ = true;
  }
  StartWrite(&out_);
}

// With the lock, like all that follow: makes the next message; false: there is nothing to say.
bool AgentStream::compose() {
  wire::OperatorMessage head;
  std::vector<grpc::Slice> body;
  mark_.reset();
  if (!opening_ && !compose_changes(body)) return false;
  if (opening_) compose_opening(head, body);

  std::vector<grpc::Slice> message;
  message.reserve(body.size() + 2);
  if (head.ByteSizeLong() > 0) message.emplace_back(head.SerializeAsString());
  message.insert(message.end(), body.begin(), body.end());
  if (mark_) {
    wire::OperatorMessage tail;
    tail.mutable_mark()->set_revision(*mark_);
    message.emplace_back(tail.SerializeAsString());
    state_.sent = *mark_;
    unmarked_ = 0;
  }
  out_ = grpc::ByteBuffer(message.data(), message.size());
  world_.counters.messages.fetch_add(1);
  world_.counters.records.fetch_add(body.size());
  world_.counters.bytes.fetch_add(out_.Length());
  return true;
}

void AgentStream::compose_opening(wire::OperatorMessage& head, std::vector<grpc::Slice>& body) {
  if (!std::exchange(welcomed_, true)) {
    wire::Welcome* welcome = head.mutable_welcome();
    welcome->set_instance(world_.instance);
    welcome->mutable_build()->set_version(world_.build.version);
    welcome->mutable_build()->set_commit(world_.build.commit);
    welcome->set_protocol(*common_protocol(hello_->oldest_protocol(), hello_->newest_protocol()));
  }
  if (opening_sent_ == 0 && opening_->buckets.any())
    head.mutable_snapshot()->set_buckets(bucket_bytes(opening_->buckets));
  auto& records = opening_->records;
  for (size_t bytes = 0; opening_sent_ < records.size() && bytes < kMessageBytes;) {
    bytes += records[opening_sent_].size();
    body.push_back(std::move(records[opening_sent_++]));
  }
  if (opening_sent_ < records.size()) return;
  cursor_ = settled_ = opening_->revision;
  mark_ = settled_;
  opening_.reset();
}

bool AgentStream::compose_changes(std::vector<grpc::Slice>& body) {
  auto batch = world_.spans.read(state_.node, cursor_, kMessageBytes);
  if (batch.lost) {
    spdlog::warn("agent {} is too far behind: it is sent everything anew", state_.node);
    world_.counters.restarted.fetch_add(1);
    open(std::nullopt);
    return true;
  }
  cursor_ = batch.cursor;
  for (const auto& record : batch.records) unmarked_ += record.size();
  body = std::move(batch.records);
  if (batch.reached) settled_ = cursor_;
  if (unmarked_ > 0 && (batch.reached || unmarked_ >= kMarkBytes)) mark_ = settled_;
  return !body.empty() || mark_;
}

void AgentStream::OnWriteDone(bool ok) {
  std::optional<grpc::Status> status;
  {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    out_.Clear();
    if (!ok && !ending_) ending_ = grpc::Status(grpc::StatusCode::UNAVAILABLE, "write failed");
    status = std::exchange(ending_, std::nullopt);
    if (status) finished_ = true;
  }
  if (status) {
    Finish(*status);
  } else {
    pump();
  }
}

void AgentStream::end(grpc::Status status) {
  {
    const std::lock_guard lock(mutex_);
    if (finished_ || ending_) return;
    if (writing_) {
      ending_ = std::move(status);
      return;
    }
    finished_ = true;
  }
  Finish(status);
}

void AgentStream::abort(grpc::Status status) {
  end(std::move(status));
  const std::lock_guard lock(mutex_);  // with it the stream cannot end meanwhile
  if (ending_) context_->TryCancel();
}

void AgentStream::take_ack(const wire::Ack& ack) {
  std::vector<ObjectFault> faults;
  for (int i = 0; i < std::min(ack.errors_size(), kMaxFaults); ++i) {
    const wire::ObjectError& error = ack.errors(i);
    faults.push_back({.kind = error.kind(),
                      .namespace_name = error.namespace_name(),
                      .name = error.name(),
                      .message = error.message()});
  }
  const std::lock_guard lock(mutex_);
  if (ack.revision() > state_.sent) return;  // of no revision that there is
  if (faults != state_.faults) log_faults(state_.node, faults);
  state_.acked = std::max(state_.acked, ack.revision());
  state_.faults = std::move(faults);
  state_.faults_left_out =
      ack.errors_left_out() + static_cast<uint32_t>(std::max(0, ack.errors_size() - kMaxFaults));
  state_.ignored = ack.ignored();
}

void AgentStream::take_status(const wire::Status& status) {
  const std::lock_guard lock(mutex_);
  state_.ready = status.ready();
  state_.not_ready = status.not_ready();
  const int count = std::min(status.failing_size(), kMaxFailing);
  state_.failing.assign(status.failing().begin(), status.failing().begin() + count);
}

AgentState AgentStream::state(bool with_pending) const {
  AgentState state;
  uint64_t cursor = 0;
  size_t opening = 0;
  {
    const std::lock_guard lock(mutex_);
    state = state_;
    cursor = opening_ ? opening_->revision : cursor_;
    if (opening_) opening = opening_->records.size() - opening_sent_;
  }
  if (with_pending) state.pending = opening + world_.spans.pending(state.node, cursor);
  return state;
}

void AgentStream::report() {
  if (!world_.on_report) return;
  const AgentState now = state(false);
  if (!now.node.empty()) world_.on_report(now);
}

void AgentStream::OnDone() {
  AgentState last;
  {
    const std::lock_guard lock(mutex_);
    left_ = true;
    last = state_;
  }
  last.connected = false;
  if (!last.node.empty()) {
    world_.spans.detach(last.node);
    spdlog::info("agent {}: stream closed", last.node);
    if (world_.on_report) world_.on_report(last);
  }
  world_.roster.leave(this);  // nothing of this may be touched after
}

}  // namespace sluice
