// SPDX-License-Identifier: Apache-2.0
// HTTP face of the agent for machines: GET /metrics and GET /healthz on metricsAddress.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/result/result.h"

class CivetServer;
class CivetHandler;

namespace sluice {

struct MetricsHttpOptions {
  std::string address;                   // "host:port", "[::1]:9962"
  std::function<std::string()> metrics;  // body of /metrics
  std::function<std::vector<std::string>()>
      failing;  // of /healthz: what is wrong; none: 200 "ok", else 503 and the lines
};

class MetricsHttpServer {
 public:
  // Two threads of its own. Errors: kInvalid/kUnavailable name the address.
  static Result<std::unique_ptr<MetricsHttpServer>> start(MetricsHttpOptions options);
  ~MetricsHttpServer();
  MetricsHttpServer(const MetricsHttpServer&) = delete;
  MetricsHttpServer& operator=(const MetricsHttpServer&) = delete;

  int port() const;

 private:
  MetricsHttpServer() = default;
  std::vector<std::unique_ptr<CivetHandler>> handlers_;
  std::unique_ptr<CivetServer> server_;  // before the handlers in death
};

}  // namespace sluice
