// SPDX-License-Identifier: Apache-2.0
#include "agent/flows/observer_server.h"

#include <google/protobuf/util/field_mask_util.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <utility>

#include "agent/flows/convert.h"
#include "agent/flows/query.h"
#include "hubble/observer/observer.grpc.pb.h"
#include "lib/fd/fd.h"
#include "lib/fd/file_id.h"

namespace sluice {

namespace {

using google::protobuf::FieldMask;
using google::protobuf::util::FieldMaskUtil;

constexpr size_t kFollowBatch = 256;
// How long a follower sleeps before it looks whether its client is gone.
constexpr std::chrono::milliseconds kCancelPoll{250};
constexpr std::chrono::seconds kShutdownGrace{1};
// Threads beside the streams: the pollers of the listeners and short calls.
constexpr size_t kSpareThreads = 8;
// The name that Hubble's clients ask the gRPC health service about.
constexpr const char* kHealthName = "hubble.server.Observer";
constexpr int64_t kSecondNs = 1'000'000'000;

grpc::Status to_grpc(const Error& error) {
  return {error.code == ErrorCode::kInvalid ? grpc::StatusCode::INVALID_ARGUMENT
                                            : grpc::StatusCode::INTERNAL,
          error.message()};
}

// Keeps the fields of a mask that we know; the others are ones that we never fill.
struct FlowMask {
  bool active = false;
  FieldMask known;

  explicit FlowMask(const FieldMask& mask) : active(mask.paths_size() > 0) {
    for (const std::string& path : mask.paths()) {
      if (FieldMaskUtil::IsValidPath<::flow::Flow>(path)) known.add_paths(path);
    }
  }
  void apply(::flow::Flow* flow) const {
    if (!active) return;
    if (known.paths_size() == 0) return flow->Clear();
    FieldMaskUtil::TrimMessage(known, flow);
  }
};

// Counts the streams that are open, for the limit.
class StreamSlot {
 public:
  StreamSlot(std::atomic<size_t>& open, size_t limit)
      : open_(open), granted_(open_.fetch_add(1) < limit) {}
  ~StreamSlot() { open_.fetch_sub(1); }
  StreamSlot(const StreamSlot&) = delete;
  StreamSlot& operator=(const StreamSlot&) = delete;
  bool granted() const { return granted_; }

 private:
  std::atomic<size_t>& open_;
  const bool granted_;
};

class ObserverService final : public observer::Observer::Service {
 public:
  ObserverService(const ObserverOptions& options, const FlowLog& log)
      : options_(options), log_(log), started_(std::chrono::steady_clock::now()) {}

  void stop() { stop_.request_stop(); }

  grpc::Status GetFlows(grpc::ServerContext* context, const observer::GetFlowsRequest* request,
                        grpc::ServerWriter<observer::GetFlowsResponse>* writer) override {
    const StreamSlot slot(streams_, options_.max_streams);
    if (!slot.granted()) {
      return {grpc::StatusCode::RESOURCE_EXHAUSTED,
              "too many flow streams are open (" + std::to_string(options_.max_streams) + ")"};
    }
    const auto query = compile_query(*request, options_.node_name);
    if (!query) return to_grpc(query.error());
    const Stream stream{.context = context,
                        .writer = writer,
                        .query = *query,
                        .mask = FlowMask(request->field_mask())};
    FlowSelection past = select_past(log_, *query);
    for (const FlowEntry& entry : past.entries) {
      if (stop_.stop_requested()) return stopping();
      if (!send(stream, entry)) return grpc::Status::CANCELLED;
    }
    past.entries.clear();  // a follower must not keep the past alive
    return query->follow && !past.ended ? follow(stream, past.next) : grpc::Status::OK;
  }

  grpc::Status GetNodes(grpc::ServerContext*, const observer::GetNodesRequest*,
                        observer::GetNodesResponse* response) override {
    const FlowStats stats = log_.stats();
    observer::Node* node = response->add_nodes();
    node->set_name(options_.node_name);
    node->set_version(options_.version);
    node->set_address(options_.tcp_address);
    node->set_state(relay::NODE_CONNECTED);
    node->mutable_tls()->set_enabled(false);
    node->set_uptime_ns(uptime_ns());
    node->set_num_flows(stats.stored);
    node->set_max_flows(stats.capacity);
    node->set_seen_flows(stats.seen);
    return grpc::Status::OK;
  }

  grpc::Status GetNamespaces(grpc::ServerContext*, const observer::GetNamespacesRequest*,
                             observer::GetNamespacesResponse* response) override {
    for (const std::string& name : log_.namespaces())
      response->add_namespaces()->set_namespace_(name);
    return grpc::Status::OK;
  }

  grpc::Status ServerStatus(grpc::ServerContext*, const observer::ServerStatusRequest*,
                            observer::ServerStatusResponse* response) override {
    const FlowStats stats = log_.stats();
    response->set_num_flows(stats.stored);
    response->set_max_flows(stats.capacity);
    response->set_seen_flows(stats.seen);
    response->set_uptime_ns(uptime_ns());
    response->set_version(options_.version);
    response->set_flows_rate(stats.per_second);
    return grpc::Status::OK;
  }

 private:
  struct Stream {
    grpc::ServerContext* context;
    grpc::ServerWriter<observer::GetFlowsResponse>* writer;
    const FlowQuery& query;
    FlowMask mask;
  };

  static grpc::Status stopping() {
    return {grpc::StatusCode::UNAVAILABLE, "the agent is stopping"};
  }

  uint64_t uptime_ns() const {
    const auto up = std::chrono::steady_clock::now() - started_;
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(up).count());
  }

  grpc::Status follow(const Stream& stream, uint64_t from) {
    while (!stop_.stop_requested()) {
      if (stream.context->IsCancelled()) return grpc::Status::CANCELLED;
      if (!log_.wait(from, kCancelPoll, stop_.get_token())) continue;
      const FlowBatch batch = log_.read(from, kFollowBatch);
      from = batch.next;
      if (batch.skipped > 0 && !send_skipped(stream, batch.skipped)) return grpc::Status::CANCELLED;
      for (const FlowEntry& entry : batch.entries) {
        if (entry.flow) {
          const auto until = stream.query.until_unix_ns;
          if (until && entry.flow->time_unix_ns > *until) return grpc::Status::OK;
          if (!in_time_range(stream.query, *entry.flow) ||
              !stream.query.filters.matches(*entry.flow))
            continue;
        }
        if (!send(stream, entry)) return grpc::Status::CANCELLED;
      }
    }
    return stopping();
  }

  bool send(const Stream& stream, const FlowEntry& entry) const {
    if (!entry.flow) return send_lost(stream, *entry.lost, ::flow::PERF_EVENT_RING_BUFFER);
    observer::GetFlowsResponse response;
    ::flow::Flow message = to_proto(*entry.flow, options_.node_name);
    if (stream.query.wants_counters) message.mutable_extensions()->PackFrom(counters(*entry.flow));
    *response.mutable_time() = message.time();
    stream.mask.apply(&message);
    *response.mutable_flow() = std::move(message);
    response.set_node_name(options_.node_name);
    return stream.writer->Write(response);
  }

  bool send_skipped(const Stream& stream, uint64_t count) const {
    const int64_t now = FlowLog::unix_now();
    return send_lost(stream, {.count = count, .first_unix_ns = now, .last_unix_ns = now},
                     ::flow::HUBBLE_RING_BUFFER);
  }

  bool send_lost(const Stream& stream, const LostEvents& lost,
                 ::flow::LostEventSource source) const {
    observer::GetFlowsResponse response;
    *response.mutable_lost_events() = to_proto(lost, source);
    response.set_node_name(options_.node_name);
    response.mutable_time()->set_seconds(lost.last_unix_ns / kSecondNs);
    response.mutable_time()->set_nanos(static_cast<int32_t>(lost.last_unix_ns % kSecondNs));
    return stream.writer->Write(response);
  }

  const ObserverOptions options_;
  const FlowLog& log_;
  const std::chrono::steady_clock::time_point started_;
  std::stop_source stop_;
  std::atomic<size_t> streams_{0};
};

}  // namespace

struct ObserverServer::State {
  State(const ObserverOptions& options, const FlowLog& log) : service(options, log) {}
  ObserverService service;
  std::unique_ptr<grpc::Server> server;
  std::string path;
  FileId bound;  // what start() put at the path
  int tcp_port = 0;
};

ObserverServer::ObserverServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

ObserverServer::~ObserverServer() {
  state_->service.stop();
  state_->server->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  state_->server->Wait();
}

int ObserverServer::tcp_port() const {
  return state_->tcp_port;
}

bool ObserverServer::is_reachable() const {
  return file_id(state_->path) == state_->bound;
}

Result<std::unique_ptr<ObserverServer>> ObserverServer::start(const ObserverOptions& options,
                                                              const FlowLog& log) {
  if (options.unix_socket.empty())
    return fail(ErrorCode::kInvalid, "observer: the unix socket has no path");
  const auto folder = std::filesystem::path(options.unix_socket).parent_path().string();
  if (auto made = make_directories(folder); !made) return fail(within("observer", made.error()));

  auto state = std::make_unique<State>(options, log);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  builder.SetResourceQuota(
      grpc::ResourceQuota("observer")
          .SetMaxThreads(static_cast<int>(options.max_streams + kSpareThreads)));
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT,
                             0);  // a second agent must fail, not share the port
  builder.SetMaxReceiveMessageSize(1 << 20);
  int unix_bound = 0;
  builder.AddListeningPort("unix:" + options.unix_socket, grpc::InsecureServerCredentials(),
                           &unix_bound);
  if (!options.tcp_address.empty()) {
    builder.AddListeningPort(options.tcp_address, grpc::InsecureServerCredentials(),
                             &state->tcp_port);
  }
  builder.RegisterService(&state->service);
  state->server = builder.BuildAndStart();
  if (!state->server || unix_bound == 0 || (!options.tcp_address.empty() && state->tcp_port == 0)) {
    std::string addresses = options.unix_socket;
    if (!options.tcp_address.empty()) addresses += " and " + options.tcp_address;
    return fail(ErrorCode::kUnavailable, "observer: cannot listen on " + addresses +
                                             ": the address is wrong, not of this host, or in use");
  }
  if (chmod(options.unix_socket.c_str(), 0660) != 0) {
    return fail(from_errno("observer: chmod " + options.unix_socket));
  }
  state->path = options.unix_socket;
  state->bound = file_id(state->path);
  if (auto* health = state->server->GetHealthCheckService())
    health->SetServingStatus(kHealthName, true);
  return std::unique_ptr<ObserverServer>(new ObserverServer(std::move(state)));
}

}  // namespace sluice
