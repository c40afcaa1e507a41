// SPDX-License-Identifier: Apache-2.0
// The operator's end of the control stream: takes what resolve says, gives each agent its span.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/result/result.h"
#include "operator/resolve/resolve.h"
#include "operator/stream/agent_state.h"
#include "operator/stream/identity.h"
#include "operator/stream/spans.h"

namespace sluice {

struct ControlServerOptions {
  std::vector<std::string> addresses{};  // "0.0.0.0:4250", "unix:/path"; port 0: a free one
  std::shared_ptr<grpc::ServerCredentials> credentials{};
  Build build{};
  std::string instance{};  // another with every start
  IdentityRules rules{};
  std::chrono::milliseconds hello_timeout{10'000};  // until it is known who it is
  std::chrono::milliseconds keepalive_interval{10'000};
  std::chrono::milliseconds keepalive_timeout{5'000};  // then a silent peer counts as gone
};

class ControlServer {
 public:
  // Called from any thread after each acknowledgement and status of an agent, when its stream
  // opens, and when it closes.
  using OnReport = std::function<void(const AgentState&)>;

  // reviewer has to outlive the server. Errors: kUnavailable names the addresses that cannot be
  // listened on.
  static Result<std::unique_ptr<ControlServer>> start(ControlServerOptions options,
                                                      TokenReviewer& reviewer, OnReport on_report);
  ~ControlServer();  // ends the streams: UNAVAILABLE to the agents
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Thread: one at a time. Returns the revision after it; agents are told from another thread.
  uint64_t publish(const IntentDelta& delta);
  // All objects have been published once. Before that agents are sent away: what they were given
  // would be less than there is.
  void set_synced();

  // Thread: any.
  std::vector<AgentState> agents() const;
  size_t connected() const;
  const StreamCounters& counters() const;
  Spans::Figures figures() const;
  int port() const;  // of the first address

 private:
  struct State;
  explicit ControlServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sluice
