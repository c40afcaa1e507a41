// SPDX-License-Identifier: Apache-2.0
#include "agent/agent.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>

#include "agent/compile/compile.h"
#include "agent/desired/ipv6_mtu.h"
#include "agent/pods/installer.h"
#include "agent/views.h"
#include "lib/fd/fd.h"

namespace sluice {

namespace {

constexpr auto kAgePass = std::chrono::seconds(5);        // between two walks of conntrack
constexpr auto kAgeStep = std::chrono::milliseconds(20);  // between two pieces of one walk
constexpr auto kRetryInterval = std::chrono::seconds(5);  // after something could not be applied
constexpr size_t kAgeBudget = 4096;

// Of the families that are on: in the pod an address of the other would reach nobody.
std::vector<Prefix> usable_ranges(const NodeIntent& node, const NodeSettings& settings) {
  std::vector<Prefix> usable;
  for (const Prefix& cidr : node.pod_cidrs) {
    if (cidr.is_ipv4() ? settings.ipv4 : settings.ipv6) usable.push_back(cidr);
  }
  return usable;
}

}  // namespace

void Agent::take_intent(const IntentDelta& fresh, const std::vector<SourceProblem>& problems) {
  for (const auto& problem : problems) spdlog::warn("{}", to_string(problem));
  intent_problems_ = problems.size();
  const IntentDelta delta = last_intent_->judge(fresh, !problems.empty());
  (void)state_->change_intent(delta);  // what could not be saved of it is judge_state_dir's to tell
  const Intent& intent = state_->desired().intent;
  (void)last_intent_->save(delta, intent);
  const NodeIntent* self = find_node(intent, config_.node.node_name);
  const auto ranges = self == nullptr ? std::vector<Prefix>{} : usable_ranges(*self, config_.node);
  std::string wrong;
  if (self == nullptr && !problems.empty()) {
    wrong = to_string(problems.front()) + "; until that is mended there is no Node named \"" +
            config_.node.node_name + '"';
  } else if (self == nullptr) {
    wrong =
        "no Node named \"" + config_.node.node_name + "\": " +
        (config_.standalone_dir.empty() ? "kubelet has registered it by another name, or not yet"
                                        : "add its manifest with spec.podCIDRs") +
        ", or set nodeName";
  } else if (self->pod_cidrs.empty()) {
    wrong = "Node " + self->name + ": spec.podCIDRs is empty: pods cannot get addresses";
  } else if (ranges.empty()) {
    wrong = "Node " + self->name + ": spec.podCIDRs has no range of a family that is on: set " +
            (config_.node.ipv4 ? "ipv6: true" : "ipv4: true") + " or add a range";
  } else if (!problems.empty()) {
    wrong = to_string(problems.front());
    if (problems.size() > 1) wrong += " (and " + std::to_string(problems.size() - 1) + " more)";
  }
  conditions_.set("intent", wrong.empty(), wrong);
  // A Node that is gone, or without ranges, for a moment must not make the ranges forget what rests
  // in them.
  if (!ranges.empty()) pods_->set_pod_cidrs(ranges);
  has_intent_ = true;
  judge_state_dir();
  host_->read();
  mark_dirty();
}

void Agent::take_host(const HostNetwork& network) {
  auto uplinks = find_uplinks(network, config_.devices, state_->node_addresses());
  conditions_.set("uplinks", !uplinks.empty(),
                  uplinks.empty()
                      ? "no device carries a default route or this node's InternalIP: set devices"
                      : "");
  judge_node_addresses(network);
  if (pods_) pods_->set_reserved(find_taken_addresses(network));
  if (state_->set_host(std::move(uplinks), find_host_addresses(network))) mark_dirty();
  // Somebody took our overlay device away: apply makes it anew.
  const uint32_t overlay = state_->desired().overlay_ifindex;
  const bool lost =
      overlay != 0 && std::none_of(network.links.begin(), network.links.end(),
                                   [&](const LinkInfo& link) { return link.ifindex == overlay; });
  if (lost) mark_dirty();
  heal_routes(network);
}

// Somebody took routes of ours away. Once: where they go as soon as they come, the audit tries on.
void Agent::heal_routes(const HostNetwork& network) {
  if (dirty_) return;
  const auto lost = lost_routes(datapath_->applied(), network.routes);
  if (lost.empty()) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - routes_healed_ < kRetryInterval) return audit_within(kRetryInterval);
  routes_healed_ = now;
  spdlog::warn("{} of our routes are gone, to {} for one: they are put back", lost.size(),
               to_string(lost.front().destination));
  mark_dirty();
}

// Other nodes send there what is for our pods.
void Agent::judge_node_addresses(const HostNetwork& network) {
  std::string wrong;
  for (const Address& address : state_->node_addresses()) {
    if (address.is_ipv4() ? !config_.node.ipv4 : !config_.node.ipv6) continue;
    const bool here = std::any_of(network.addresses.begin(), network.addresses.end(),
                                  [&](const AddressInfo& each) { return each.address == address; });
    if (here) continue;
    wrong += (wrong.empty() ? "" : "; ") + ("InternalIP " + to_string(address)) + " of Node " +
             config_.node.node_name + " is on no device of this host";
  }
  conditions_.set("node", wrong.empty(), wrong);
}

uint64_t Agent::take_endpoints() {
  state_->set_endpoints(pods_->endpoints());
  mark_dirty();
  return state_->revision();
}

std::optional<std::string> Agent::not_ready() const {
  if (ready_) return node_failure_;
  if (stream_ && !stream_->state().connected && !has_intent_)
    return "operator: " + stream_->state().error;
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
  const PodChanges changes = state_->take_pod_changes();
  publish(changes);
  rows_ = compile(state_->desired(), changes, std::move(rows_));
  compiled_intent_ = state_->desired().intent.revision;
  const auto begin = std::chrono::steady_clock::now();
  const ApplyReport report = datapath_->apply(rows_);
  if (metrics_) metrics_->count_apply(report.ok(), std::chrono::steady_clock::now() - begin);
  for (const auto& problem : pods_->set_pod_mtu(rows_.pod_mtu, rows_.pod_route_mtu))
    spdlog::warn("{}", problem);
  judge_mtu(rows_);
  judge(report, rows_);
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
  if (!ready_) become_ready();
  acknowledge(report);
}

// What fails on a pod's device is that pod's; the rest is the node's, and then no pod may come.
void Agent::judge(const ApplyReport& report, const Rows& rows) {
  node_failure_ = node_failure(report, rows);
  if (report.ok()) {
    applied_intent_ = compiled_intent_;
    conditions_.set("datapath", true, "");
    return;
  }
  const std::string message = report.status().error().message();
  if (conditions_.set("datapath", false, message))
    spdlog::error("apply: {} objects failed: {}", report.failed, message);
  audit_within(kRetryInterval);
}

void Agent::judge_mtu(const Rows& rows) {
  std::string wrong;
  if (!rows.ipv6_fits) {
    wrong = (config_.node.mtu != 0 ? "mtu " : "uplink MTU ") + std::to_string(rows.pod_mtu) +
            " leaves " + std::to_string(rows.pod_route_mtu) + " for pods, IPv6 needs " +
            std::to_string(kIpv6MtuMin) +
            ": raise it or set ipv6: false; until then new pods get IPv4 alone";
  }
  if (conditions_.set("mtu", wrong.empty(), wrong) && !wrong.empty()) spdlog::error("{}", wrong);
}

void Agent::judge_addresses() {
  std::string wrong;
  for (const auto& message : pods_->conditions()) wrong += (wrong.empty() ? "" : "; ") + message;
  conditions_.set("addresses", wrong.empty(), wrong);
  tell_operator();
}

// What could not be written there is tried again; traffic does not need it, the next start does.
void Agent::judge_state_dir() {
  std::string wrong;
  const auto note = [&](const Status& status) {
    if (!status) wrong += (wrong.empty() ? "" : "; ") + status.error().message();
  };
  note(make_directories(config_.state_dir));
  if (has_intent_) note(last_intent_->save({}, state_->desired().intent));
  if (state_) note(state_->save_identities());
  const std::string message =
      wrong.empty() ? wrong : wrong + ": make room in stateDir, or make it writable";
  if (conditions_.set("state", wrong.empty(), message) && !wrong.empty())
    spdlog::warn("{}", message);
}

void Agent::become_ready() {
  const NodeIntent* self = find_node(state_->desired().intent, config_.node.node_name);
  if (self == nullptr || usable_ranges(*self, config_.node).empty() || node_failure_) return;
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

void Agent::publish(const PodChanges& changes) {
  if (enricher_) {
    enricher_->publish(Directory::build(state_->desired(), enricher_->directory().get(), changes));
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

void Agent::audit_in(std::chrono::milliseconds interval) {
  audit_timer_.expires_after(interval);
  audit_timer_.async_wait([this](const std::error_code& error) {
    if (!error) audit();
  });
}

void Agent::keep_lock() {
  const auto kept = lock_->keep();
  const std::string wrong = kept ? std::string() : kept.error().message();
  if (conditions_.set("lock", kept.has_value(), wrong) && !kept) spdlog::error("{}", wrong);
}

// Not later than that; what comes earlier is left.
void Agent::audit_within(std::chrono::milliseconds interval) {
  if (audit_timer_.expiry() > std::chrono::steady_clock::now() + interval) audit_in(interval);
}

// A socket whose path somebody removed is served, but nobody finds it.
void Agent::keep_sockets() {
  std::string wrong;
  const auto kept = socket_->keep();
  if (!kept) wrong = kept.error().message();
  if (kept && *kept) spdlog::warn("agent.sock was gone from {}: bound anew", config_.run_dir);
  if (observer_ && !observer_->is_reachable()) {
    spdlog::warn("observer.sock was gone from {}: served anew", config_.run_dir);
    observer_.reset();  // the library cannot bind again while it runs; who follows must ask anew
  }
  if (!observer_) {
    if (const auto served = serve_flows(); !served)
      wrong += (wrong.empty() ? "" : "; ") + served.error().message();
  }
  if (conditions_.set("sockets", wrong.empty(), wrong) && !wrong.empty())
    spdlog::error("{}", wrong);
}

void Agent::look() {
  const auto lost = datapath_->lost();
  if (!lost.empty()) {
    spdlog::warn("{} programs or pins of ours are gone, of {} for one: they are put back",
                 lost.size(), lost.front());
    audit();
  }
  keep_sockets();
  look_timer_.expires_after(kLookInterval);
  look_timer_.async_wait([this](const std::error_code& error) {
    if (!error) look();
  });
}

void Agent::audit() {
  audit_in(kAuditInterval);
  judge_addresses();
  judge_state_dir();
  if (!has_intent_) return;
  const auto report = datapath_->audit();
  if (report.written + report.deleted > 0) {
    spdlog::warn(
        "audit: {} rows or links had drifted and were repaired: someone else changes our objects",
        report.written + report.deleted);
  }
  judge(report, datapath_->applied());
  keep_lock();
  const auto folded = datapath_->fold_drops_of_gone_devices();
  conditions_.set("drops", folded.has_value(), folded ? "" : folded.error().message());
  if (state_->set_overlay_ifindex(datapath_->overlay_ifindex())) mark_dirty();
  // What failed before is tried again, the first sync included.
  if (!report.ok() || !ready_) mark_dirty();
  if (ready_) install();
  acknowledge(report);
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

}  // namespace sluice
