// SPDX-License-Identifier: Apache-2.0
// One operator with a made-up cluster: how long until every agent has everything, what that costs,
// and how long a change takes to the last acknowledgement.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "bench/control/controlbench.h"
#include "lib/fd/fd.h"
#include "operator/stream/certificates.h"
#include "operator/stream/control_server.h"
#include "operator/stream/tls.h"

namespace sluice::bench {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

constexpr std::chrono::minutes kPatience{10};
constexpr size_t kPage = 500;

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

json quantiles(std::vector<double> values) {
  if (values.empty()) return nullptr;
  std::sort(values.begin(), values.end());
  const auto at = [&](double fraction) {
    return values[std::min(values.size() - 1,
                           static_cast<size_t>(static_cast<double>(values.size()) * fraction))];
  };
  return {{"p50", at(0.5)}, {"p99", at(0.99)}, {"max", values.back()}, {"count", values.size()}};
}

class Reviewer final : public TokenReviewer {
 public:
  void review(const std::string& token, const std::string& audience,
              std::function<void(Result<TokenReview>)> done) override {
    TokenReview review{
        .authenticated = true, .username = IdentityRules{}.username, .audiences = {audience}};
    review.extra["authentication.kubernetes.io/node-name"] = {
        token.substr(std::string(kTokenStart).size())};
    done(review);
  }
};

Address address_of(uint32_t ipv4) {
  Address address{.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
  for (size_t i = 0; i < 4; ++i) address.bytes[12 + i] = static_cast<uint8_t>(ipv4 >> (24 - 8 * i));
  return address;
}

ObjectChange node_at(size_t index) {
  const auto number = static_cast<uint32_t>(index);
  return {.object = NodeObject{.name = node_name(index),
                               .internal_addresses = {address_of(0xac100000U + number)},
                               .pod_cidrs = {{.address = address_of(0x0a000000U + (number << 8)),
                                              .length = 120}}},
          .removed = false};
}

// With the labels that a Deployment's pod usually has.
ObjectChange pod_at(size_t index, size_t nodes, size_t version) {
  const size_t node = index % nodes;
  const size_t app = index / 20;
  const std::string name = "app-" + std::to_string(app);
  PodObject pod{.namespace_name = "team-" + std::to_string(app % 100),
                .name = name + "-5d4f8c7b9d-" + std::to_string(index),
                .uid = "00000000-0000-4000-8000-" + std::to_string(100'000'000'000 + index),
                .node = node_name(node),
                .addresses = {address_of(
                    static_cast<uint32_t>(0x0a000000U + (node << 8) + 2 + (index / nodes) % 250))},
                .labels = {{"app.kubernetes.io/name", name},
                           {"app.kubernetes.io/instance", name + "-prod"},
                           {"app.kubernetes.io/version", "1.0." + std::to_string(version)},
                           {"pod-template-hash", "5d4f8c7b9d"}},
                .owner_kind = "ReplicaSet",
                .owner_name = name + "-5d4f8c7b9d"};
  return {.object = pod, .removed = false};
}

// What agents said, and when what was expected of them came.
class Acknowledgements {
 public:
  void take(const AgentState& state) {
    const std::lock_guard lock(mutex_);
    if (!state.connected || state.acked == 0) {
      if (!state.connected) acked_.erase(state.node);
      return;
    }
    if (first_ == Clock::time_point{}) first_ = Clock::now();
    acked_[state.node] = state.acked;
    auto& waiting = waiting_[state.node];
    while (!waiting.empty() && waiting.begin()->first <= state.acked) {
      took_ms_.push_back(ms_since(waiting.begin()->second));
      waiting.erase(waiting.begin());
    }
    changed_.notify_all();
  }
  void expect(const std::string& node, uint64_t revision, Clock::time_point since) {
    const std::lock_guard lock(mutex_);
    const auto acked = acked_.find(node);
    if (acked != acked_.end() && acked->second >= revision) {
      took_ms_.push_back(ms_since(since));
    } else {
      waiting_[node].emplace(revision, since);
    }
  }
  // Until `count` agents have acknowledged `revision`.
  bool wait(size_t count, uint64_t revision) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] {
      if (acked_.size() < count) return false;
      return std::all_of(acked_.begin(), acked_.end(),
                         [&](const auto& agent) { return agent.second >= revision; });
    });
  }
  std::vector<double> take_times() {
    const std::lock_guard lock(mutex_);
    return std::exchange(took_ms_, {});
  }
  void forget() {
    const std::lock_guard lock(mutex_);
    acked_.clear();
    waiting_.clear();
  }

 private:
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  Clock::time_point first_{};
  std::map<std::string, uint64_t> acked_;
  std::map<std::string, std::map<uint64_t, Clock::time_point>> waiting_;
  std::vector<double> took_ms_;
};

class Bench {
 public:
  explicit Bench(const Settings& settings)
      : settings_(settings),
        authorities_(*renew({}, {}, now())),
        tls_(*ServerTls::open(settings.folder, *issue(authorities_, {}, now()))) {
    (void)write_file(settings.folder + "/ca.pem", bundle(authorities_));
  }
  json run() {
    json figures;
    figures["agents"] = settings_.agents;
    figures["pods"] = settings_.pods;
    fill(figures);
    first_sync(figures);
    std::cerr << settings_.agents << " agents: first sync done\n";
    pod_changes(figures);
    std::cerr << "pods changed\n";
    node_changes(figures);
    std::cerr << "nodes changed\n";
    restart(figures);
    return figures;
  }

 private:
  static CertificateTime now() {
    return std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
  }
  void start(const std::string& address) {
    auto server =
        ControlServer::start({.addresses = {address},
                              .credentials = tls_.credentials(),
                              .build = {.version = "bench"},
                              .instance = "bench"},
                             reviewer_, [this](const AgentState& state) { acks_.take(state); });
    if (!server) {
      std::cerr << server.error().message() << "\n";
      std::exit(1);
    }
    server_ = std::move(*server);
  }

  void fill(json& figures) {
    figures["empty_mb"] = resident_mb();
    start(settings_.address);
    // In pages, as lists of an API server come.
    std::vector<ObjectChange> page;
    double resolve_ms = 0;
    double publish_ms = 0;
    for (size_t i = 0; i < settings_.agents + settings_.pods; ++i) {
      page.push_back(i < settings_.agents ? node_at(i)
                                          : pod_at(i - settings_.agents, settings_.agents, 0));
      if (page.size() < kPage && i + 1 < settings_.agents + settings_.pods) continue;
      auto begin = Clock::now();
      const IntentDelta delta = resolver_.apply(page);
      resolve_ms += ms_since(begin);
      begin = Clock::now();
      server_->publish(delta);
      publish_ms += ms_since(begin);
      page.clear();
    }
    figures["resolve_ms"] = resolve_ms;
    figures["publish_ms"] = publish_ms;
    figures["filled_mb"] = resident_mb();
    server_->set_synced();
  }

  void first_sync(json& figures) {
    std::cout << "listening" << std::endl;
    std::string go;
    std::getline(std::cin, go);  // the agents are about to start
    const auto begin = Clock::now();
    const double cpu = cpu_seconds();
    figures["complete"] = acks_.wait(settings_.agents, 1);
    figures["first_sync_s"] = ms_since(begin) / 1000;
    figures["first_sync_cpu_s"] = cpu_seconds() - cpu;
    figures["first_sync_mb_sent"] = static_cast<double>(server_->counters().bytes) / 1e6;
    figures["connected_mb"] = resident_mb();
  }

  void pod_changes(json& figures) {
    std::mt19937 random(7);
    const double cpu = cpu_seconds();
    const auto begin = Clock::now();
    const size_t count = settings_.changes_per_second * settings_.seconds;
    for (size_t i = 0; i < count; ++i) {
      std::this_thread::sleep_until(begin + std::chrono::microseconds(1'000'000) * i /
                                                settings_.changes_per_second);
      const size_t pod = random() % settings_.pods;
      const auto changed = Clock::now();
      const auto revision =
          server_->publish(resolver_.apply(std::vector{pod_at(pod, settings_.agents, i + 1)}));
      acks_.expect(node_name(pod % settings_.agents), revision, changed);
    }
    std::this_thread::sleep_for(std::chrono::seconds(1));
    const double wall = ms_since(begin) / 1000;
    figures["pod_change_cpu_percent"] = 100 * (cpu_seconds() - cpu) / wall;
    figures["pod_change_to_ack_ms"] = quantiles(acks_.take_times());
    figures["pod_changes_sent"] = count;
  }

  // Every agent is told of a node.
  void node_changes(json& figures) {
    std::vector<double> all_ms;
    const double cpu = cpu_seconds();
    for (size_t i = 0; i < 10; ++i) {
      auto change = node_at(i);
      std::get<NodeObject>(change.object).pod_cidrs.clear();
      const auto begin = Clock::now();
      const auto revision = server_->publish(resolver_.apply(std::vector{change}));
      if (!acks_.wait(settings_.agents, revision)) return;
      all_ms.push_back(ms_since(begin));
    }
    figures["node_change_to_last_ack_ms"] = quantiles(all_ms);
    figures["node_change_cpu_ms"] = (cpu_seconds() - cpu) * 1000 / 10;
  }

  // Another operator process at the same place, as far as the agents can tell.
  void restart(json& figures) {
    const auto intent = resolver_.intent();
    server_.reset();
    acks_.forget();
    const double cpu = cpu_seconds();
    const auto begin = Clock::now();
    start(settings_.address);
    server_->publish(everything(intent));
    server_->set_synced();
    figures["resume_complete"] = acks_.wait(settings_.agents, 1);
    figures["resume_s"] = ms_since(begin) / 1000;
    figures["resume_cpu_s"] = cpu_seconds() - cpu;
    figures["resume_mb_sent"] = static_cast<double>(server_->counters().bytes) / 1e6;
    figures["resumed_without_objects"] = server_->counters().resumed.load();
  }

  const Settings settings_;
  const Authorities authorities_;
  ServerTls tls_;
  Reviewer reviewer_;
  Resolver resolver_;
  Acknowledgements acks_;
  std::unique_ptr<ControlServer> server_;
};

}  // namespace

int run_operator(const Settings& settings) {
  raise_descriptor_limit();
  std::cout << Bench(settings).run().dump(2) << std::endl;
  return 0;
}

}  // namespace sluice::bench
