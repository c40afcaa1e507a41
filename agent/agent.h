// SPDX-License-Identifier: Apache-2.0
// The control loop: intent, CNI and the host's network come in from the left, rows go out to the
// right, the applied revision comes back. Wires the folders; decides nothing that they could.
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/admin/admin.h"
#include "agent/admin/conditions.h"
#include "agent/apply/datapath.h"
#include "agent/apply/node_lock.h"
#include "agent/config/config.h"
#include "agent/control/standalone.h"
#include "agent/control/stream_source.h"
#include "agent/desired/last_intent.h"
#include "agent/desired/state.h"
#include "agent/enrich/enricher.h"
#include "agent/events/reader.h"
#include "agent/flows/flow_log.h"
#include "agent/flows/observer_server.h"
#include "agent/host_watch.h"
#include "agent/metrics/metrics.h"
#include "agent/pods/pod_service.h"
#include "agent/pods/socket_server.h"
#include "agent/published.h"
#include "lib/http/metrics_http.h"

namespace sluice {

// Thread: the one that runs `loop`; readers of events, flows and metrics have their own and see
// published values only.
class Agent {
 public:
  // Opens everything and makes the kernel hold the first intent. What packets see changes only
  // then. Errors name the part and the next step. `loop` and `config` must outlive the agent.
  static Result<std::unique_ptr<Agent>> start(asio::io_context& loop, const AgentConfig& config);
  // Leaves programs, rows, devices and routes as they are: traffic goes on without us.
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

 private:
  static constexpr auto kAuditInterval = std::chrono::seconds(60);
  // Between two looks at what nobody tells us the loss of: programs, pins, sockets.
  static constexpr auto kLookInterval = std::chrono::seconds(2);
  struct ToldOperator {
    bool ready = false;
    std::string not_ready{};
    std::vector<std::string> failing{};
    bool operator==(const ToldOperator&) const = default;
  };

  Agent(asio::io_context& loop, const AgentConfig& config);

  Status open_datapath();
  Status open_host();
  Status open_pods();
  Status open_intent();
  Status open_operator();
  Status open_events();
  Status open_faces();

  void take_intent(const IntentDelta& fresh, const std::vector<SourceProblem>& problems);
  void take_host(const HostNetwork& network);
  uint64_t take_endpoints();
  std::optional<std::string> not_ready() const;

  void mark_dirty();
  void reconcile();
  void judge(const ApplyReport& report, const Rows& rows);
  void acknowledge(const ApplyReport& report);
  void tell_operator();
  void judge_addresses();
  void judge_mtu(const Rows& rows);
  void judge_state_dir();
  void judge_node_addresses(const HostNetwork& network);
  void become_ready();
  void install();
  void publish(const PodChanges& changes);
  void publish_figures();
  void age_conntrack();
  void audit();
  void keep_lock();
  void audit_in(std::chrono::milliseconds interval);
  void audit_within(std::chrono::milliseconds interval);
  void look();
  Status serve_flows();
  void keep_sockets();
  void heal_routes(const HostNetwork& network);
  void serve_cni(const std::string& message, std::function<void(std::string)> reply);
  AdminSources admin_sources();
  AgentFacts facts() const;
  std::vector<std::string> failing() const;

  asio::io_context& loop_;
  const AgentConfig& config_;
  int64_t started_unix_ms_ = 0;
  Conditions conditions_;
  Published published_;

  std::optional<NodeLock> lock_;
  std::unique_ptr<Datapath> datapath_;
  std::unique_ptr<EndpointProbe> probe_;
  std::unique_ptr<DesiredState> state_;
  std::unique_ptr<LastIntent> last_intent_;
  std::unique_ptr<PodService> pods_;
  std::unique_ptr<StandaloneSource> source_;  // one of these two
  std::unique_ptr<StreamSource> stream_;

  std::unique_ptr<HostWatch> host_;
  asio::steady_timer age_timer_;
  asio::steady_timer audit_timer_;
  asio::steady_timer look_timer_;
  std::chrono::steady_clock::time_point routes_healed_{};  // when a lost route was last put back

  std::unique_ptr<FlowLog> flows_;
  std::unique_ptr<Enricher> enricher_;
  std::unique_ptr<EventReader> events_;
  std::unique_ptr<ObserverServer> observer_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<MetricsHttpServer> http_;
  std::unique_ptr<AdminService> admin_;
  std::unique_ptr<SocketServer> socket_;

  Rows rows_;  // of the last compile
  bool has_intent_ = false;
  bool ready_ = false;
  bool dirty_ = false;
  std::optional<std::string> node_failure_;  // of the last apply: why no new pod would work
  uint64_t compiled_intent_ = 0;  // revision of the intent in the rows that were last applied
  uint64_t applied_intent_ = 0;   // of the last one that the kernel holds without an exception
  uint64_t intent_problems_ = 0;
  std::optional<ToldOperator> told_;  // what the operator last heard of us
};

}  // namespace sluice
