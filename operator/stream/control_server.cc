// SPDX-License-Identifier: Apache-2.0
// The operator's end of the control stream.
#include "operator/stream/control_server.h"

#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "control/v1/control.grpc.pb.h"
#include "operator/stream/agent_stream.h"
#include "operator/stream/roster.h"

namespace sluice {
namespace {

// A hello has its digest, an acknowledgement at most a hundred errors.
constexpr int kMaxReceiveBytes = 256 << 10;
constexpr int kMaxStreamsPerConnection = 4;
constexpr std::chrono::seconds kTick{1};
constexpr std::chrono::seconds kShutdownGrace{1};

class Service final
    : public control::v1::Control::WithRawCallbackMethod_Sync<control::v1::Control::Service> {
 public:
  explicit Service(StreamWorld& world) : world_(world) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Sync(
      grpc::CallbackServerContext* context) override {
    auto stream = std::make_shared<AgentStream>(world_, context);
    world_.roster.expect(stream);
    stream->start();
    return stream.get();  // the roster keeps it until it is done
  }

 private:
  StreamWorld& world_;
};

// Whom to tell that there is something to read. Grows to the number of nodes at most.
class News {
 public:
  struct Piece {
    bool all = false;
    std::set<std::string> nodes{};
  };

  void add(Spans::Published published) {
    {
      const std::lock_guard lock(mutex_);
      piece_.all = piece_.all || published.all;
      if (piece_.all) {
        piece_.nodes.clear();
      } else {
        piece_.nodes.merge(published.nodes);
      }
    }
    changed_.notify_one();
  }
  // Waits for news, a second, or the end.
  Piece take(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, kTick, [this] { return piece_.all || !piece_.nodes.empty(); });
    return std::exchange(piece_, {});
  }

 private:
  std::mutex mutex_;  // guards piece_
  std::condition_variable_any changed_;
  Piece piece_;
};

void set_arguments(grpc::ServerBuilder& builder, const ControlServerOptions& options) {
  // A second operator must fail, not share the port.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  const auto milliseconds = [](auto time) { return static_cast<int>(time.count()); };
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds(options.keepalive_interval));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             milliseconds(options.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Agents ping too; twice as often as we do is not an attack.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             milliseconds(options.keepalive_interval) / 2);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
}

}  // namespace

struct ControlServer::State {
  State(ControlServerOptions given, TokenReviewer& reviewer, OnReport on_report)
      : options(std::move(given)),
        world{.build = options.build,
              .instance = options.instance,
              .rules = options.rules,
              .reviewer = reviewer,
              .spans = spans,
              .roster = roster,
              .counters = counters,
              .synced = synced,
              .on_report = std::move(on_report)},
        service(world) {}

  void tell(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const News::Piece piece = news.take(stop);
      for (const auto& stream : piece.all ? roster.all() : roster.of(piece.nodes)) stream->pump();
      const auto now = std::chrono::steady_clock::now();
      for (const auto& stream : roster.overdue(now - options.hello_timeout)) {
        counters.refused_later.fetch_add(1);
        stream->abort({grpc::StatusCode::DEADLINE_EXCEEDED, "no hello, or no review, in time"});
      }
    }
  }

  const ControlServerOptions options;
  Spans spans;
  Roster roster;
  StreamCounters counters;
  std::atomic<bool> synced{false};
  StreamWorld world;
  Service service;
  News news;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  std::jthread teller;
};

ControlServer::ControlServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

ControlServer::~ControlServer() {
  state_->teller = {};
  for (const auto& stream : state_->roster.all())
    stream->end({grpc::StatusCode::UNAVAILABLE, "the operator is stopping"});
  state_->server->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  state_->server->Wait();
  state_->server.reset();  // returns when every stream is done
}

Result<std::unique_ptr<ControlServer>> ControlServer::start(ControlServerOptions options,
                                                            TokenReviewer& reviewer,
                                                            OnReport on_report) {
  if (options.addresses.empty())
    return fail(ErrorCode::kInvalid, "control stream: no address to listen on");
  auto state = std::make_unique<State>(std::move(options), reviewer, std::move(on_report));
  grpc::ServerBuilder builder;
  set_arguments(builder, state->options);
  std::vector<int> ports(state->options.addresses.size(), 0);
  std::string all;
  for (size_t i = 0; i < ports.size(); ++i) {
    builder.AddListeningPort(state->options.addresses[i], state->options.credentials, &ports[i]);
    all += (i == 0 ? "" : ", ") + state->options.addresses[i];
  }
  builder.RegisterService(&state->service);
  state->server = builder.BuildAndStart();
  if (!state->server || std::find(ports.begin(), ports.end(), 0) != ports.end()) {
    return fail(ErrorCode::kUnavailable, "control stream: cannot listen on " + all +
                                             ": the address is wrong, not of this host, or in use");
  }
  state->port = ports.front();
  State* self = state.get();
  state->teller = std::jthread([self](const std::stop_token& stop) { self->tell(stop); });
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(state)));
}

uint64_t ControlServer::publish(const IntentDelta& delta) {
  auto published = state_->spans.publish(delta);
  const uint64_t revision = published.revision;
  state_->news.add(std::move(published));
  return revision;
}

void ControlServer::set_synced() {
  state_->synced = true;
}

std::vector<AgentState> ControlServer::agents() const {
  std::vector<AgentState> agents;
  for (const auto& stream : state_->roster.all()) agents.push_back(stream->state(true));
  return agents;
}

size_t ControlServer::connected() const {
  return state_->roster.admitted();
}

const StreamCounters& ControlServer::counters() const {
  return state_->counters;
}

Spans::Figures ControlServer::figures() const {
  return state_->spans.figures();
}

int ControlServer::port() const {
  return state_->port;
}

}  // namespace sluice
