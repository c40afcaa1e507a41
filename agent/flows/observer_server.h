// SPDX-License-Identifier: Apache-2.0
// Serves the flow log over gRPC as observer.Observer: on the node's unix socket, and on TCP where
// configured.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "agent/flows/flow_log.h"
#include "lib/result/result.h"

namespace sluice {

struct ObserverOptions {
  std::string node_name;
  std::string version;      // as ServerStatus shows it
  std::string unix_socket;  // path, e.g. /run/sluice/observer.sock; made anew, mode 0660
  std::string tcp_address;  // "host:port"; empty: no TCP. Plain text, so the address decides who
                            // can read flows.
  size_t max_streams = 32;  // GetFlows calls at once; one more is refused with RESOURCE_EXHAUSTED
};

class ObserverServer {
 public:
  // log must outlive the server. Errors: kInvalid/kUnavailable name the address that cannot be
  // listened on.
  static Result<std::unique_ptr<ObserverServer>> start(const ObserverOptions& options,
                                                       const FlowLog& log);
  ~ObserverServer();  // ends the streams (UNAVAILABLE to their clients), waits at most a second for
                      // slow ones
  ObserverServer(const ObserverServer&) = delete;
  ObserverServer& operator=(const ObserverServer&) = delete;

  int tcp_port() const;  // 0 without TCP
  // False where somebody took the unix socket's path away; then only a new server helps.
  bool is_reachable() const;

 private:
  struct State;
  explicit ObserverServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sluice
