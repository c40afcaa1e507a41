// SPDX-License-Identifier: Apache-2.0
// The operator's loop.
#include "operator/operator.h"

#include <spdlog/spdlog.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <utility>
#include <variant>

#include "version.h"

namespace sluice {

namespace {

constexpr const char* kLeaseName = "sluice-operator";
constexpr const char* kSecretName = "sluice-control-authorities";
constexpr const char* kConfigMapName = "sluice-control-authorities";
constexpr std::chrono::milliseconds kTick{1'000};
// Two tries of a Lease fit into the time after which a leader gives up.
constexpr ApiClient::Options kLeaseOptions{.backoff = {},
                                           .deadline = std::chrono::milliseconds(4'000),
                                           .connect_timeout = std::chrono::milliseconds(2'000)};

Random random_source() {
  return [engine = std::make_shared<std::mt19937_64>(std::random_device{}())] {
    return std::uniform_real_distribution<double>(0, 1)(*engine);
  };
}

std::string random_name(const std::string& identity) {
  std::random_device device;
  std::array<char, 20> text{};
  std::snprintf(text.data(), text.size(), "_%08x%08x", device(), device());
  return identity + text.data();
}

int64_t unix_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets one
  return value == nullptr ? "" : value;
}

// RFC 3339 in whole seconds, as conditions have it.
std::string seconds_text() {
  return micro_time(unix_us()).substr(0, 19) + "Z";
}

}  // namespace

Operator::Operator(asio::io_context& loop, const OperatorConfig& config, OnFatal on_fatal)
    : loop_(loop),
      config_(config),
      on_fatal_(std::move(on_fatal)),
      instance_(random_name(config.identity)),
      timers_(loop) {}

Operator::~Operator() {
  metrics_.reset();
  server_.reset();
}

Result<std::unique_ptr<Operator>> Operator::start(asio::io_context& loop,
                                                  const OperatorConfig& config, OnFatal on_fatal) {
  std::unique_ptr<Operator> made(new Operator(loop, config, std::move(on_fatal)));
  for (const auto& step : {&Operator::open_api, &Operator::open_source, &Operator::open_single,
                           &Operator::open_metrics}) {
    if (auto status = (made.get()->*step)(); !status) return fail(status.error());
  }
  made->source_->start();
  made->election_->start();
  made->certifier_->look();
  made->tick();
  return made;
}

Status Operator::open_api() {
  auto access = cluster_access(config_, environment("KUBERNETES_SERVICE_HOST"),
                               environment("KUBERNETES_SERVICE_PORT"));
  if (!access) return fail(access.error());
  auto http = CurlHttp::open(loop_);
  if (!http) return fail(http.error());
  http_ = std::move(*http);
  auto credentials = Credentials::open(*access);
  auto lease_credentials = Credentials::open(*access);
  if (!credentials) return fail(within("credentials", credentials.error()));
  if (!lease_credentials) return fail(within("credentials", lease_credentials.error()));
  api_ = std::make_unique<ApiClient>(*http_, timers_, std::move(*credentials), random_source(),
                                     ApiClient::Options{});
  lease_api_ = std::make_unique<ApiClient>(*http_, timers_, std::move(*lease_credentials),
                                           random_source(), kLeaseOptions);
  spdlog::info("API server {}", api_->server());
  return {};
}

Status Operator::open_source() {
  source_ = std::make_unique<KubeSource>(
      *api_, timers_, random_source(),
      [this](std::vector<ObjectChange> changes) { take_changes(std::move(changes)); },
      [this] {
        spdlog::info("the cluster is listed");
        if (server_) server_->set_synced();
      });
  for (const char* kind : {"Node", "Namespace", "Pod"}) {
    auto spec = built_in_kind(kind);
    if (!spec) return fail(spec.error());
    source_->add(std::move(*spec), {});
  }
  return {};
}

// What has to be done by one replica only, and what each does with its result.
Status Operator::open_single() {
  election_ = std::make_unique<Election>(
      *lease_api_, timers_,
      Election::Settings{
          .namespace_name = config_.namespace_name, .name = kLeaseName, .identity = instance_},
      Election::Hooks{.on_lead = [this] { certifier_->look(); },
                      .unix_us = unix_us,
                      .random = random_source()});
  certifier_ = std::make_unique<Certifier>(
      *api_, timers_,
      Certifier::Settings{
          .secret = {.namespace_name = config_.namespace_name, .name = kSecretName},
          .config_map = {.namespace_name = config_.namespace_name, .name = kConfigMapName}},
      Certifier::Hooks{.leads = [this] { return election_->leads(); },
                       .now =
                           [] {
                             return std::chrono::floor<std::chrono::seconds>(
                                 std::chrono::system_clock::now());
                           },
                       .use = [this](const KeyPair& pair) { return use_certificate(pair); },
                       .random = random_source()});
  reviewer_ = std::make_unique<ApiTokenReviewer>(loop_, *api_, timers_, ApiTokenReviewer::Limits{});
  marks_ =
      std::make_unique<NodeMarks>(loop_, *api_, timers_, NodeMarks::Limits{},
                                  NodeMarks::Hooks{.now = seconds_text, .random = random_source()});
  return {};
}

Status Operator::open_metrics() {
  published_.set(figures(), timers_.now());
  if (config_.metrics_address.empty()) return {};
  MetricsHttpOptions http;
  http.address = config_.metrics_address;
  http.metrics = [this] { return metrics_text(published_.get()); };
  http.failing = [this] { return published_.failing(std::chrono::steady_clock::now()); };
  auto face = MetricsHttpServer::start(std::move(http));
  if (!face) return fail(within("--metrics-address", face.error()));
  metrics_ = std::move(*face);
  return {};
}

void Operator::take_changes(std::vector<ObjectChange> changes) {
  const IntentDelta delta = resolver_.apply(changes);
  problems_stale_ = true;
  if (server_ && !delta.empty()) server_->publish(delta);
  for (const ObjectChange& change : changes) {
    const auto* node = std::get_if<NodeObject>(&change.object);
    if (node == nullptr) continue;
    if (change.removed) {
      marks_->node_removed(node->name);
    } else {
      marks_->node_seen(node->name);
    }
  }
}

Status Operator::use_certificate(const KeyPair& pair) {
  if (tls_) return tls_->replace(pair);
  auto tls = ServerTls::open(config_.tls_dir, pair);
  if (!tls) return fail(within("--tls-dir", tls.error()));
  tls_ = std::move(*tls);
  auto opened = open_server();
  if (!opened) on_fatal_(opened.error());
  return opened;
}

Status Operator::open_server() {
  ControlServerOptions options;
  options.addresses = {config_.listen};
  options.credentials = tls_->credentials();
  options.build = {.version = SLUICE_VERSION, .commit = SLUICE_COMMIT};
  options.instance = instance_;
  options.rules.username =
      "system:serviceaccount:" + config_.namespace_name + ":" + config_.agent_account;
  auto server = ControlServer::start(
      std::move(options), *reviewer_,
      [marks = marks_.get()](const AgentState& state) { marks->report(state); });
  if (!server) return fail(within("--listen", server.error()));
  server_ = std::move(*server);
  // What was resolved before there was anybody to tell.
  server_->publish(everything(resolver_.intent()));
  if (source_->synced()) server_->set_synced();
  spdlog::info("agents are served on {}", config_.listen);
  return {};
}

void Operator::tick() {
  published_.set(figures(), timers_.now());
  tick_ = timers_.after(kTick, [this] { tick(); });
}

OperatorFigures Operator::figures() {
  OperatorFigures all{.version = SLUICE_VERSION, .commit = SLUICE_COMMIT};
  for (const auto& kind : source_->kinds()) {
    const KindMetrics& metrics = kind->metrics();
    all.kinds.push_back({.kind = kind->spec().kind,
                         .objects = metrics.objects,
                         .changes = metrics.changes,
                         .decode_errors = metrics.decode_errors,
                         .lists = metrics.lists,
                         .watches = metrics.watches,
                         .restarts = {metrics.restarts.begin(), metrics.restarts.end()},
                         .synced = metrics.synced,
                         .lag_s = std::chrono::duration<double>(kind->lag()).count()});
  }
  if (std::exchange(problems_stale_, false)) {
    const auto problems = resolver_.problems();
    if (problems.size() > intent_problems_) spdlog::warn("{}", to_string(problems.back()));
    intent_problems_ = problems.size();
  }
  all.requests = api_->metrics().requests;
  for (const auto& [outcome, count] : lease_api_->metrics().requests)
    all.requests[outcome] += count;
  all.failovers = api_->metrics().failovers;
  all.intent_problems = intent_problems_;
  all.leads = election_->leads();
  if (const auto& life = certifier_->certificate())
    all.certificate_until = life->until.time_since_epoch().count();
  all.nodes_marked = marks_->marked();
  all.nodes_pending = marks_->pending();
  all.node_failures = marks_->failures();
  if (server_) {
    all.stream = stream_figures(server_->counters());
    all.stream.connected = server_->connected();
    all.stream.revision = server_->figures().revision;
    all.stream.objects = server_->figures().objects;
  }
  all.failing = failing();
  return all;
}

// What keeps agents from being served. An API server that is away later on is none: what is known
// still counts.
std::vector<std::string> Operator::failing() const {
  std::vector<std::string> lines;
  for (const auto& kind : source_->kinds()) {
    if (kind->metrics().synced) continue;
    lines.push_back(kind->spec().kind + ": not listed yet: " + kind->metrics().last_error);
  }
  const auto& life = certifier_->certificate();
  if (!life) {
    lines.push_back("control stream: no certificate yet: " + certifier_->problem());
  } else if (life->until <= std::chrono::system_clock::now()) {
    lines.push_back("control stream: the certificate has ended: " + certifier_->problem());
  }
  return lines;
}

}  // namespace sluice
