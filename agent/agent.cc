// SPDX-License-Identifier: Apache-2.0
#include "agent/agent.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>

#include "agent/compile/compile.h"
#include "agent/desired/uplinks.h"
#include "agent/endpoint_probe.h"
#include "agent/pods/installer.h"
#include "agent/views.h"
#include "version.h"

namespace sluice {

namespace {

constexpr auto kHostDebounce = std::chrono::milliseconds(20);
constexpr auto kAgePass = std::chrono::seconds(5);        // between two walks of conntrack
constexpr auto kAgeStep = std::chrono::milliseconds(20);  // between two pieces of one walk
constexpr auto kAuditInterval = std::chrono::seconds(60);
constexpr size_t kAgeBudget = 4096;

int64_t unix_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

const NodeIntent* find_node(const Intent& intent, const std::string& name) {
  for (const auto& node : intent.nodes) {
    if (node.name == name) return &node;
  }
  return nullptr;
}

DatapathOptions datapath_options(const AgentConfig& config) {
  DatapathOptions options;
  options.bpffs = config.bpffs;
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
      monitor_readable_(loop),
      host_timer_(loop),
      age_timer_(loop),
      audit_timer_(loop) {}

Agent::~Agent() {
  socket_.reset();
  if (pods_) pods_->stop();
  http_.reset();
  observer_.reset();
  events_.reset();
  if (monitor_readable_.is_open()) monitor_readable_.release();
}

Result<std::unique_ptr<Agent>> Agent::start(asio::io_context& loop, const AgentConfig& config) {
  std::unique_ptr<Agent> agent(new Agent(loop, config));
  for (const auto& step : {&Agent::open_datapath, &Agent::open_host, &Agent::open_pods,
                           &Agent::open_events, &Agent::open_intent, &Agent::open_faces}) {
    if (auto status = (agent.get()->*step)(); !status) return fail(status.error());
  }
  agent->age_conntrack();
  agent->audit();
  return agent;
}

Status Agent::open_datapath() {
  if (auto made = make_directories(config_.state_dir); !made)
    return fail(within("stateDir", made.error()));
  if (auto made = make_directories(config_.run_dir); !made)
    return fail(within("runDir", made.error()));
  auto datapath = Datapath::open(datapath_options(config_));
  if (!datapath) return fail(datapath.error());
  datapath_ = std::move(*datapath);
  for (const auto& warning : datapath_->warnings()) spdlog::warn("{}", warning);
  probe_ = std::make_unique<DatapathProbe>(datapath_->reader());

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
  auto host = Netlink::open();
  if (!host) return fail(within("open rtnetlink", host.error()));
  host_ = std::make_unique<Netlink>(std::move(*host));
  auto monitor = NetlinkMonitor::open();
  if (!monitor) return fail(within("watch rtnetlink", monitor.error()));
  monitor_ = std::make_unique<NetlinkMonitor>(std::move(*monitor));
  monitor_readable_.assign(monitor_->fd());
  watch_host();
  take_host();
  return {};
}

Status Agent::open_pods() {
  PodSettings settings;
  settings.node_name = config_.node.node_name;
  settings.state_dir = config_.state_dir;
  settings.queue_dir = config_.state_dir + "/cni-queue";
  PodHooks hooks;
  hooks.on_endpoints_changed = [this] { return take_endpoints(); };
  hooks.not_ready = [this] { return not_ready(); };
  hooks.pod_uids = [this](const std::string& pod_namespace, const std::string& pod_name) {
    std::vector<std::string> uids;
    for (const auto& pod : state_->desired().intent.pods) {
      if (pod.namespace_name == pod_namespace && pod.name == pod_name && !pod.uid.empty())
        uids.push_back(pod.uid);
    }
    return uids;
  };
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
  // Listening comes before anything is changed: a second agent on the node ends here.
  auto server = SocketServer::listen(loop_, std::move(socket), std::move(handlers));
  if (!server) return fail(server.error());
  socket_ = std::move(*server);
  admin_ = std::make_unique<AdminService>(admin_sources());

  auto restored = pods_->start();
  if (!restored) return fail(within("restore the pods of this node", restored.error()));
  spdlog::info(
      "pods: {} restored, {} adopted from devices, {} released, {} unknown devices removed",
      restored->restored, restored->adopted, restored->released, restored->removed);
  if (!restored->condition.empty()) spdlog::warn("{}", restored->condition);
  judge_addresses();
  return {};
}

Status Agent::open_intent() {
  auto source =
      StandaloneSource::open(loop_, config_.standalone_dir,
                             [this](Intent intent, const std::vector<SourceProblem>& problems) {
                               take_intent(std::move(intent), problems);
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

Status Agent::open_faces() {
  ObserverOptions observer;
  observer.node_name = config_.node.node_name;
  observer.version = std::string("sluice ") + SLUICE_VERSION;
  observer.unix_socket = config_.run_dir + "/observer.sock";
  auto server = ObserverServer::start(observer, *flows_);
  if (!server) return fail(within("serve flows", server.error()));
  observer_ = std::move(*server);

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

void Agent::take_intent(Intent intent, const std::vector<SourceProblem>& problems) {
  for (const auto& problem : problems) spdlog::warn("{}", to_string(problem));
  intent_problems_ = problems.size();
  intent = last_intent_->judge(std::move(intent), !problems.empty());
  if (const auto& saved = last_intent_->saved(); !saved)
    spdlog::warn("{}", saved.error().message());
  const NodeIntent* self = find_node(intent, config_.node.node_name);
  std::string wrong;
  if (self == nullptr) {
    wrong = "no Node named \"" + config_.node.node_name +
            "\": add its manifest with spec.podCIDRs, or set nodeName";
  } else if (self->pod_cidrs.empty()) {
    wrong = "Node " + self->name + ": spec.podCIDRs is empty: pods cannot get addresses";
  } else if (!problems.empty()) {
    wrong = to_string(problems.front());
    if (problems.size() > 1) wrong += " (and " + std::to_string(problems.size() - 1) + " more)";
  }
  conditions_.set("intent", wrong.empty(), wrong);
  // A Node that is gone for a moment must not make the ranges forget what rests in them.
  if (self != nullptr) pods_->set_pod_cidrs(self->pod_cidrs);
  if (auto changed = state_->set_intent(std::move(intent)); !changed) {
    spdlog::warn("{}; it is tried again with the next change", changed.error().message());
  }
  has_intent_ = true;
  take_host();
  mark_dirty();
}

void Agent::watch_host() {
  monitor_readable_.async_wait(
      asio::posix::stream_descriptor::wait_read, [this](const std::error_code& error) {
        if (error) return;
        auto changed = monitor_->drain();
        if (!changed) spdlog::warn("rtnetlink notifications: {}", changed.error().message());
        if (!changed || *changed) {
          host_timer_.expires_after(kHostDebounce);
          host_timer_.async_wait([this](const std::error_code& stopped) {
            if (!stopped) take_host();
          });
        }
        watch_host();
      });
}

void Agent::take_host() {
  HostNetwork network;
  auto links = host_->links();
  auto addresses = host_->addresses();
  auto routes = host_->routes();
  if (!links || !addresses || !routes) {
    const Error& error = !links ? links.error() : !addresses ? addresses.error() : routes.error();
    spdlog::warn("read the host's network: {}", error.message());
    return;
  }
  network.links = std::move(*links);
  network.addresses = std::move(*addresses);
  network.routes = std::move(*routes);
  auto uplinks = find_uplinks(network, config_.devices, state_->node_addresses());
  conditions_.set("uplinks", !uplinks.empty(),
                  uplinks.empty()
                      ? "no device carries a default route or this node's InternalIP: set devices"
                      : "");
  if (state_->set_host(std::move(uplinks), find_host_addresses(network))) mark_dirty();
  // Somebody took our overlay device away: apply makes it anew.
  const uint32_t overlay = state_->desired().overlay_ifindex;
  const bool lost =
      overlay != 0 && std::none_of(network.links.begin(), network.links.end(),
                                   [&](const LinkInfo& link) { return link.ifindex == overlay; });
  if (lost) mark_dirty();
}

uint64_t Agent::take_endpoints() {
  auto endpoints = pods_->endpoints();
  const auto known = state_->desired().endpoints;
  for (const auto& old : known) {
    bool kept = false;
    for (const auto& endpoint : endpoints) kept = kept || key_of(endpoint) == key_of(old);
    if (!kept) state_->remove_endpoint(old.network, old.container_id, old.ifname);
  }
  for (auto& endpoint : endpoints) state_->upsert_endpoint(std::move(endpoint));
  mark_dirty();
  return state_->revision();
}

std::optional<std::string> Agent::not_ready() const {
  if (ready_) return std::nullopt;
  for (const auto& condition : conditions_.list()) {
    if (!condition.ok) return condition.name + ": " + condition.message;
  }
  return "the first sync is under way";
}

void Agent::mark_dirty() {
  if (dirty_) return;
  dirty_ = true;
  asio::post(loop_, [this] { reconcile(); });
}

void Agent::reconcile() {
  dirty_ = false;
  if (!has_intent_) return;
  const auto revision = state_->revision();
  publish();
  const Rows rows = compile(state_->desired());
  compiled_intent_ = state_->desired().intent.revision;
  const auto begin = std::chrono::steady_clock::now();
  const ApplyReport report = datapath_->apply(rows);
  if (metrics_) metrics_->count_apply(report.ok(), std::chrono::steady_clock::now() - begin);
  for (const auto& problem : pods_->set_pod_mtu(rows.pod_mtu, rows.pod_route_mtu))
    spdlog::warn("{}", problem);
  judge(report);
  // The overlay device is made by apply; its index belongs in the rows.
  if (state_->set_overlay_ifindex(datapath_->overlay_ifindex())) {
    mark_dirty();
    return;
  }
  std::map<uint32_t, std::string> failed;
  for (const auto& error : report.errors) {
    if (error.ifindex != 0)
      failed.emplace(error.ifindex, error.object + ": " + error.error.message());
  }
  pods_->applied(revision, failed);
  if (!ready_) become_ready(report);
}

void Agent::judge(const ApplyReport& report) {
  if (report.ok()) {
    applied_intent_ = compiled_intent_;
    conditions_.set("datapath", true, "");
    return;
  }
  const auto status = report.status();
  conditions_.set("datapath", false, status.error().message());
  spdlog::error("apply: {} objects failed: {}", report.failed, status.error().message());
}

void Agent::judge_addresses() {
  std::string wrong;
  for (const auto& message : pods_->conditions()) wrong += (wrong.empty() ? "" : "; ") + message;
  conditions_.set("addresses", wrong.empty(), wrong);
}

void Agent::become_ready(const ApplyReport& report) {
  const NodeIntent* self = find_node(state_->desired().intent, config_.node.node_name);
  if (self == nullptr || self->pod_cidrs.empty()) return;
  // An object of one device concerns one pod; what has no device concerns them all.
  const bool node_failed = std::any_of(report.errors.begin(), report.errors.end(),
                                       [](const ObjectError& error) { return error.ifindex == 0; });
  if (node_failed) return;
  install();
  ready_ = true;
  spdlog::info("ready: node {}, {} pods, attached by {}", config_.node.node_name,
               state_->desired().endpoints.size(), datapath_->attach_mode());
}

// Again with every audit: somebody may have removed the files, or the first time may have failed.
void Agent::install() {
  if (!config_.install_cni) return;
  InstallSettings settings;
  settings.binary = config_.cni_binary;
  settings.bin_dir = config_.cni_bin_dir;
  settings.conf_dir = config_.cni_conf_dir;
  settings.socket = config_.run_dir + "/agent.sock";
  settings.queue_dir = config_.state_dir + "/cni-queue";
  auto installed = install_cni(settings);
  conditions_.set("cni", installed.has_value(), installed ? "" : installed.error().message());
  if (!installed) spdlog::error("install the CNI plugin: {}", installed.error().message());
}

void Agent::publish() {
  if (enricher_) {
    enricher_->publish(Directory::build(state_->desired(), enricher_->directory().get()));
  }
  publish_figures();
}

void Agent::publish_figures() {
  LoopFigures figures;
  figures.pools = pods_->pools();
  figures.endpoints = state_->desired().endpoints.size();
  figures.intent_problems = intent_problems_;
  figures.address_exhausted = pods_->exhausted_total();
  published_.set(std::move(figures));
}

void Agent::age_conntrack() {
  auto counts = datapath_->ager().step(kAgeBudget);
  conditions_.set("conntrack", counts.has_value(), counts ? "" : counts.error().message());
  const bool pause = !counts || counts->end_of_pass;
  age_timer_.expires_after(pause ? std::chrono::duration_cast<std::chrono::milliseconds>(kAgePass)
                                 : kAgeStep);
  age_timer_.async_wait([this](const std::error_code& error) {
    if (!error) age_conntrack();
  });
}

void Agent::audit() {
  audit_timer_.expires_after(kAuditInterval);
  audit_timer_.async_wait([this](const std::error_code& error) {
    if (error) return;
    const auto report = datapath_->audit();
    if (report.written + report.deleted > 0) {
      spdlog::warn(
          "audit: {} rows or links had drifted and were repaired: someone else changes our objects",
          report.written + report.deleted);
    }
    judge(report);
    if (state_->set_overlay_ifindex(datapath_->overlay_ifindex())) mark_dirty();
    // What failed before is tried again, the first sync included.
    if (!report.ok() || !ready_) mark_dirty();
    if (ready_) install();
    judge_addresses();
    audit();
  });
}

void Agent::serve_cni(const std::string& message, std::function<void(std::string)> reply) {
  cni::v1::CniRequest request;
  if (!request.ParseFromString(message)) {
    cni::v1::CniResponse response;
    response.set_error_code(6);
    response.set_error_message("the request is no CniRequest");
    reply(response.SerializeAsString());
    return;
  }
  const auto begin = std::chrono::steady_clock::now();
  pods_->handle(
      request, [this, begin, command = request.command(), container = request.container_id(),
                reply = std::move(reply)](const cni::v1::CniResponse& response) {
        const auto took = std::chrono::steady_clock::now() - begin;
        if (metrics_) metrics_->count_cni(command, response.error_code(), took);
        if (response.error_code() != 0) {
          spdlog::warn("CNI {} of container {}: code {}: {} {}", command, container,
                       response.error_code(), response.error_message(), response.error_details());
        }
        // A request that was refused changes nothing in the rows, but counts.
        publish_figures();
        judge_addresses();
        reply(response.SerializeAsString());
      });
}

AgentFacts Agent::facts() const {
  AgentFacts facts;
  facts.ready = ready_;
  facts.applied_revision = applied_intent_;
  facts.attach_mode = std::string(datapath_->attach_mode());
  facts.events_lost = events_ ? events_->stats().lost : 0;
  facts.flows_seen = flows_ ? flows_->stats().seen : 0;
  facts.rss_bytes = resident_bytes();
  return facts;
}

std::vector<std::string> Agent::failing() const {
  std::vector<std::string> lines;
  for (const auto& condition : conditions_.list()) {
    if (!condition.ok) lines.push_back(condition.name + ": " + condition.message);
  }
  return lines;
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
