// SPDX-License-Identifier: Apache-2.0
// Intent from the operator.
#include "agent/control/stream_source.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <deque>
#include <utility>

#include "agent/control/held_intent.h"
#include "agent/control/operator_stream.h"
#include "lib/fd/fd.h"
#include "operator/stream/protocol.h"

namespace sluice {
namespace {

namespace wire = control::v1;

constexpr size_t kMaxErrors = 100;

std::string trim(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\r'))
    text.pop_back();
  return text;
}

// A file that has to say something: gRPC takes no authorities at all for all of the world's.
Result<std::string> read_filled(const std::string& path) {
  auto text = read_file(path);
  if (!text) return fail(text.error());
  *text = trim(std::move(*text));
  if (text->empty()) return fail(ErrorCode::kUnavailable, path + " is empty");
  return std::move(*text);
}

}  // namespace

class StreamSource::Core : public std::enable_shared_from_this<StreamSource::Core> {
 public:
  Core(asio::io_context& loop, StreamSettings settings, StreamHooks hooks)
      : loop_(loop),
        settings_(std::move(settings)),
        hooks_(std::move(hooks)),
        timer_(loop),
        backoff_(settings_.backoff, hooks_.random) {}

  void start(const std::optional<Intent>& last);
  void stop();
  void applied(uint64_t revision, std::vector<ObjectFault> faults);
  void report(wire::Status status);
  const StreamState& state() const { return state_; }

 private:
  // Where a revision of ours came from.
  struct Mark {
    uint64_t own = 0;
    uint64_t theirs = 0;
  };

  template <class Call>
  auto in_loop(Call call);
  void connect();
  Status begin(const std::string& address);
  void take_welcome(const OperatorStream::Welcome& welcome);
  void take_update(StreamUpdate update);
  void take_end(const grpc::Status& status);
  void wait(std::chrono::milliseconds delay);
  void acknowledge();
  void tell() const {
    if (hooks_.on_state) hooks_.on_state(state_);
  }

  asio::io_context& loop_;
  const StreamSettings settings_;
  const StreamHooks hooks_;
  asio::steady_timer timer_;  // to the next try, or to the end of the patience with this one
  Backoff backoff_;
  size_t next_ = 0;  // of settings_.operators
  size_t failed_in_a_row_ = 0;
  bool stopped_ = false;

  std::shared_ptr<OperatorStream> stream_;
  uint64_t generation_ = 0;  // of stream_: what an earlier one posted does not count
  HeldIntent held_;
  bool whole_ = false;     // an operator has confirmed or replaced what is held
  uint64_t revision_ = 0;  // ours
  uint64_t applied_ = 0;   // of ours
  std::vector<ObjectFault> faults_;
  std::deque<Mark> marks_;  // of this stream, not acknowledged yet
  uint64_t ignored_ = 0;    // in this stream
  std::optional<wire::Status> status_;
  StreamState state_;
};

void StreamSource::Core::start(const std::optional<Intent>& last) {
  next_ = static_cast<size_t>(hooks_.random() * static_cast<double>(settings_.operators.size())) %
          settings_.operators.size();
  if (last) {
    held_ = HeldIntent(*last);
    IntentDelta delta = everything(*last);
    delta.revision = ++revision_;
    hooks_.on_intent(delta,
                     {{.what = "no operator has been reached since the start: the state on disk "
                               "counts until then"}});
  }
  connect();
}

void StreamSource::Core::stop() {
  stopped_ = true;
  ++generation_;
  timer_.cancel();
  if (!stream_) return;
  stream_->cancel();
  stream_->wait();
  stream_.reset();
}

// Events come on gRPC's threads, and may come when this is gone or has another stream.
template <class Call>
auto StreamSource::Core::in_loop(Call call) {
  return [weak = weak_from_this(), &loop = loop_, generation = generation_,
          call = std::move(call)](auto event) {
    asio::post(loop, [weak, generation, call, event = std::move(event)]() mutable {
      const auto self = weak.lock();
      if (self && generation == self->generation_) call(*self, std::move(event));
    });
  };
}

void StreamSource::Core::connect() {
  const std::string& address = settings_.operators[next_];
  next_ = (next_ + 1) % settings_.operators.size();
  state_.operator_address = address;
  state_.connected = false;
  if (auto begun = begin(address); !begun) {
    take_end({grpc::StatusCode::UNAVAILABLE, begun.error().message()});
    return;
  }
  timer_.expires_after(settings_.welcome_timeout);
  timer_.async_wait([weak = weak_from_this(), generation = generation_](const auto& error) {
    const auto self = weak.lock();
    if (error || !self || self->generation_ != generation || !self->stream_) return;
    self->state_.error = "no answer in time";
    self->stream_->cancel();
  });
}

Status StreamSource::Core::begin(const std::string& address) {
  state_.error.clear();  // of the try before
  auto authorities = read_filled(settings_.authorities_file);
  if (!authorities) return fail(within("authorities of the operator", authorities.error()));
  auto token = read_filled(settings_.token_file);
  if (!token) return fail(within("token", token.error()));
  ++generation_;
  marks_.clear();
  ignored_ = 0;
  state_.revision = state_.acked = 0;
  wire::Hello hello;
  hello.set_node_name(settings_.node_name);
  hello.mutable_build()->set_version(settings_.build.version);
  hello.mutable_build()->set_commit(settings_.build.commit);
  hello.set_newest_protocol(kNewestProtocol);
  hello.set_oldest_protocol(kOldestProtocol);
  if (revision_ > 0) hello.set_digest(held_.digest().bytes());
  stream_ = OperatorStream::open(
      {.address = address,
       .authorities_pem = std::move(*authorities),
       .token = std::move(*token),
       .keepalive_interval = settings_.keepalive_interval,
       .keepalive_timeout = settings_.keepalive_timeout},
      std::move(hello),
      {.on_welcome =
           in_loop([](Core& self, OperatorStream::Welcome welcome) { self.take_welcome(welcome); }),
       .on_update =
           in_loop([](Core& self, StreamUpdate update) { self.take_update(std::move(update)); }),
       .on_end = in_loop([](Core& self, const grpc::Status& status) { self.take_end(status); })});
  return {};
}

void StreamSource::Core::take_welcome(const OperatorStream::Welcome& welcome) {
  timer_.cancel();
  backoff_.reset();
  failed_in_a_row_ = 0;
  ++state_.streams;
  state_.connected = true;
  state_.instance = welcome.instance;
  state_.operator_build = welcome.build;
  spdlog::info("operator {} {} ({}): stream open", state_.operator_address, welcome.build.version,
               welcome.instance);
  if (status_) stream_->send(*status_);
  tell();
}

void StreamSource::Core::take_update(StreamUpdate update) {
  state_.revision = update.revision;
  if (update.ignored > 0 && ignored_ == 0) {
    spdlog::warn(
        "operator {} sends kinds of objects that this agent does not know: it is newer, "
        "and what they ask for is not done here",
        state_.operator_build.version);
  }
  ignored_ += update.ignored;
  for (const auto& [key, fault] : update.unreadable)
    spdlog::warn("from the operator: {}: what was held of it before still counts", fault.message);
  const uint64_t theirs = update.revision;
  IntentDelta delta = held_.apply(std::move(update));
  if (!delta.empty() || !whole_) {
    whole_ = true;
    delta.revision = ++revision_;
    marks_.push_back({.own = revision_, .theirs = theirs});
    hooks_.on_intent(delta, {});
  } else {
    marks_.push_back({.own = revision_, .theirs = theirs});
  }
  acknowledge();
  stream_->resume();
}

void StreamSource::Core::take_end(const grpc::Status& status) {
  timer_.cancel();
  stream_.reset();
  const bool was_connected = std::exchange(state_.connected, false);
  ++state_.failures;
  ++failed_in_a_row_;
  std::string why =
      status.error_message().empty() ? "the operator closed it" : status.error_message();
  if (!state_.error.empty()) why = state_.error;  // we ended it, and know better
  // After a stream that was good, or with a replica left to ask: soon, but not all agents at once.
  auto delay = std::chrono::milliseconds(
      static_cast<int64_t>(static_cast<double>(settings_.backoff.first.count()) * hooks_.random()));
  if (!was_connected && failed_in_a_row_ >= settings_.operators.size()) delay = backoff_.next();
  state_.error = "operator " + state_.operator_address + ": " + why + "; " +
                 settings_.operators[next_] + " is tried in " + std::to_string(delay.count()) +
                 " ms";
  spdlog::warn("{}", state_.error);
  tell();
  wait(delay);
}

void StreamSource::Core::wait(std::chrono::milliseconds delay) {
  if (stopped_) return;
  timer_.expires_after(delay);
  timer_.async_wait([weak = weak_from_this()](const std::error_code& error) {
    const auto self = weak.lock();
    if (!error && self && !self->stopped_) self->connect();
  });
}

void StreamSource::Core::applied(uint64_t revision, std::vector<ObjectFault> faults) {
  applied_ = std::max(applied_, revision);
  const bool same = faults == faults_;
  faults_ = std::move(faults);
  // What failed may work later, or the other way round, without a new revision.
  if (!same && marks_.empty() && state_.acked > 0)
    marks_.push_back({.own = applied_, .theirs = state_.acked});
  acknowledge();
}

void StreamSource::Core::acknowledge() {
  uint64_t theirs = 0;
  while (!marks_.empty() && marks_.front().own <= applied_) {
    theirs = marks_.front().theirs;
    marks_.pop_front();
  }
  if (theirs == 0 || !stream_) return;
  state_.acked = theirs;
  wire::Ack ack;
  ack.set_revision(theirs);
  ack.set_ignored(ignored_);
  std::vector<ObjectFault> all = held_.faults();
  all.insert(all.end(), faults_.begin(), faults_.end());
  for (size_t i = 0; i < std::min(all.size(), kMaxErrors); ++i) {
    wire::ObjectError* error = ack.add_errors();
    error->set_kind(all[i].kind);
    error->set_namespace_name(all[i].namespace_name);
    error->set_name(all[i].name);
    error->set_message(all[i].message);
  }
  ack.set_errors_left_out(
      static_cast<uint32_t>(all.size() - static_cast<size_t>(ack.errors_size())));
  stream_->send(std::move(ack));
}

void StreamSource::Core::report(wire::Status status) {
  status_ = std::move(status);
  if (stream_ && state_.connected) stream_->send(*status_);
}

StreamSource::StreamSource(std::shared_ptr<Core> core) : core_(std::move(core)) {}

StreamSource::~StreamSource() {
  core_->stop();
}

Result<std::unique_ptr<StreamSource>> StreamSource::open(asio::io_context& loop,
                                                         StreamSettings settings,
                                                         const std::optional<Intent>& last,
                                                         StreamHooks hooks) {
  const auto missing = [](const char* field) {
    return fail(ErrorCode::kInvalid, std::string("control stream: ") + field + ": empty");
  };
  if (settings.operators.empty()) return missing("operators");
  if (settings.node_name.empty()) return missing("nodeName");
  if (settings.authorities_file.empty()) return missing("authorities file");
  if (settings.token_file.empty()) return missing("token file");
  auto core = std::make_shared<Core>(loop, std::move(settings), std::move(hooks));
  core->start(last);
  return std::unique_ptr<StreamSource>(new StreamSource(std::move(core)));
}

void StreamSource::applied(uint64_t revision, std::vector<ObjectFault> faults) {
  core_->applied(revision, std::move(faults));
}

void StreamSource::report(bool ready, const std::string& not_ready,
                          const std::vector<std::string>& failing) {
  wire::Status status;
  status.set_ready(ready);
  status.set_not_ready(not_ready);
  for (const std::string& line : failing) status.add_failing(line);
  core_->report(std::move(status));
}

const StreamState& StreamSource::state() const {
  return core_->state();
}

}  // namespace sluice
