// SPDX-License-Identifier: Apache-2.0
// How the parts of the agent are opened and joined, and taken apart again.
#include <spdlog/spdlog.h>

#include <chrono>

#include "agent/agent.h"
#include "agent/endpoint_probe.h"
#include "agent/views.h"
#include "version.h"

namespace sluice {

namespace {

int64_t unix_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

DatapathOptions datapath_options(const AgentConfig& config) {
  DatapathOptions options;
  options.bpffs = config.bpffs;
  options.state_dir = config.state_dir;
  options.ct_max_entries = config.conntrack_max_entries;
  options.nat_max_entries = config.conntrack_max_entries;
  options.timeouts = config.conntrack_timeouts;
  options.attach = std::string(name(config.attach));
  return options;
}

}  // namespace

Agent::Agent(asio::io_context& loop, const AgentConfig& config)
    : loop_(loop),
      config_(config),
      started_unix_ms_(unix_ms()),
      conditions_(unix_ms),
      age_timer_(loop),
      audit_timer_(loop),
      look_timer_(loop) {}

Agent::~Agent() {
  socket_.reset();
  if (pods_) pods_->stop();
  http_.reset();
  observer_.reset();
  events_.reset();
}

Result<std::unique_ptr<Agent>> Agent::start(asio::io_context& loop, const AgentConfig& config) {
  std::unique_ptr<Agent> agent(new Agent(loop, config));
  for (const auto& step : {&Agent::open_datapath, &Agent::open_host, &Agent::open_pods,
                           &Agent::open_events, &Agent::open_intent, &Agent::open_faces}) {
    if (auto status = (agent.get()->*step)(); !status) return fail(status.error());
  }
  agent->age_conntrack();
  agent->audit_in(kAuditInterval);
  agent->look();
  return agent;
}

Status Agent::open_datapath() {
  // Before anything is changed: a second agent on the node ends here.
  const auto missing = missing_preconditions(datapath_options(config_));
  if (!missing.empty()) return fail(within("open the data plane", missing.front()));
  auto lock = NodeLock::take(config_.bpffs);
  if (!lock) return fail(lock.error());
  lock_.emplace(std::move(*lock));
  judge_state_dir();
  if (auto made = make_directories(config_.run_dir); !made)
    return fail(within("runDir", made.error()));
  auto datapath = Datapath::open(datapath_options(config_));
  if (!datapath) return fail(datapath.error());
  datapath_ = std::move(*datapath);
  for (const auto& warning : datapath_->warnings()) spdlog::warn("{}", warning);
  probe_ = std::make_unique<DatapathProbe>(datapath_->reader(), [this] {
    std::vector<uint32_t> devices;
    for (const Uplink& uplink : state_->desired().uplinks) devices.push_back(uplink.ifindex);
    if (datapath_->overlay_ifindex() != 0) devices.push_back(datapath_->overlay_ifindex());
    return devices;
  });

  auto state = DesiredState::open(config_.node, config_.state_dir);
  if (!state) return fail(state.error());
  state_ = std::move(*state);
  last_intent_ = std::make_unique<LastIntent>(config_.state_dir);
  // Rows without it would cut off what flows through the overlay until the second apply.
  (void)state_->set_overlay_ifindex(datapath_->overlay_ifindex());
  conditions_.set("datapath", false, "the first sync has not been applied yet");
  conditions_.set("intent", false, "no intent has been received yet");
  return {};
}

Status Agent::open_host() {
  auto watch = HostWatch::open(loop_, [this](const HostNetwork& network) { take_host(network); });
  if (!watch) return fail(watch.error());
  host_ = std::move(*watch);
  host_->read();
  return {};
}

Status Agent::open_pods() {
  PodSettings settings;
  settings.node_name = config_.node.node_name;
  settings.state_dir = config_.state_dir;
  settings.queue_dir = config_.state_dir + "/cni-queue";
  settings.spare_queue_dir = config_.run_dir + "/cni-queue";
  PodHooks hooks;
  hooks.on_endpoints_changed = [this] { return take_endpoints(); };
  hooks.not_ready = [this] { return not_ready(); };
  hooks.running_pods_suffer = [this] { return ready_ && node_failure_.has_value(); };
  hooks.pod_uids = [this](const std::string& pod_namespace, const std::string& pod_name) {
    std::vector<std::string> uids;
    // What the disk had may be older than the pod: a StatefulSet's pod comes again by its name.
    if (stream_ && !stream_->state().connected) return uids;
    const PodIntent* pod = find_pod(state_->desired().intent, pod_namespace, pod_name);
    if (pod != nullptr && !pod->uid.empty()) uids.push_back(pod->uid);
    return uids;
  };
  hooks.on_conditions_changed = [this] { judge_addresses(); };
  hooks.probe = probe_.get();
  pods_ = std::make_unique<PodService>(loop_, std::move(settings), std::move(hooks));

  SocketServerSettings socket;
  socket.path = config_.run_dir + "/agent.sock";
  std::map<uint8_t, SocketServer::Handler> handlers;
  handlers[kServiceCni] = [this](const std::string& message,
                                 std::function<void(std::string)> reply) {
    serve_cni(message, std::move(reply));
  };
  handlers[kServiceAdmin] = [this](const std::string& message,
                                   const std::function<void(std::string)>& reply) {
    reply(admin_->handle(message));
  };
  auto server = SocketServer::listen(loop_, std::move(socket), std::move(handlers));
  if (!server) return fail(server.error());
  socket_ = std::move(*server);
  admin_ = std::make_unique<AdminService>(admin_sources());

  auto restored = pods_->start();
  if (!restored) return fail(within("restore the pods of this node", restored.error()));
  spdlog::info(
      "pods: {} restored, {} adopted from devices, {} released, {} unknown devices removed",
      restored->restored, restored->adopted, restored->released, restored->removed);
  for (const std::string& wrong : {restored->condition, restored->save_failure}) {
    if (!wrong.empty()) spdlog::warn("{}", wrong);
  }
  judge_addresses();
  return {};
}

Status Agent::open_intent() {
  if (config_.standalone_dir.empty()) return open_operator();
  auto source = StandaloneSource::open(
      loop_, config_.standalone_dir,
      [this](const IntentDelta& delta, const std::vector<SourceProblem>& problems) {
        take_intent(delta, problems);
      });
  if (!source) return fail(within("standaloneDir", source.error()));
  source_ = std::move(*source);
  return {};
}

Status Agent::open_events() {
  flows_ = std::make_unique<FlowLog>(config_.flows_buffer_entries);
  enricher_ = std::make_unique<Enricher>(Directory::build(state_->desired()));
  EventSink sink;
  sink.on_event = [this](const flow_event& event) { flows_->add(enricher_->enrich(event)); };
  sink.on_lost = [this](uint64_t count) { flows_->add_lost(count); };
  auto reader = EventReader::open(datapath_->reader().events_fd(), std::move(sink),
                                  [this] { return total_event_losses(datapath_->reader()); });
  if (!reader) return fail(within("read sl_events", reader.error()));
  events_ = std::move(*reader);
  return {};
}

Status Agent::serve_flows() {
  ObserverOptions observer;
  observer.node_name = config_.node.node_name;
  observer.version = std::string("sluice ") + SLUICE_VERSION;
  observer.unix_socket = config_.run_dir + "/observer.sock";
  auto server = ObserverServer::start(observer, *flows_);
  if (!server) return fail(within("serve flows", server.error()));
  observer_ = std::move(*server);
  return {};
}

Status Agent::open_faces() {
  if (auto served = serve_flows(); !served) return served;
  metrics_ =
      std::make_unique<Metrics>(metrics_sources(datapath_->reader(), published_, *flows_, *events_),
                                SLUICE_VERSION, SLUICE_COMMIT);
  if (config_.metrics_address.empty()) return {};
  MetricsHttpOptions http;
  http.address = config_.metrics_address;
  http.metrics = [this] { return metrics_->scrape(); };
  http.failing = [this] { return failing(); };
  auto face = MetricsHttpServer::start(std::move(http));
  if (!face) return fail(within("metricsAddress", face.error()));
  http_ = std::move(*face);
  return {};
}

AdminSources Agent::admin_sources() {
  AdminSources sources = datapath_sources(datapath_->reader());
  sources.build = AgentBuild{.version = SLUICE_VERSION,
                             .commit = SLUICE_COMMIT,
                             .layout = SLUICE_LAYOUT,
                             .started_unix_ms = started_unix_ms_};
  sources.desired = [this] { return std::make_shared<const Desired>(state_->desired()); };
  sources.conditions = [this] { return conditions_.list(); };
  sources.facts = [this] { return facts(); };
  sources.pools = [this] {
    std::vector<PoolUse> pools;
    for (const auto& pool : pods_->pools()) {
      pools.push_back(PoolUse{
          .cidr = pool.cidr, .total = pool.total, .used = pool.used, .resting = pool.resting});
    }
    return pools;
  };
  return sources;
}

}  // namespace sluice
