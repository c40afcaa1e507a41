// SPDX-License-Identifier: Apache-2.0
#include "agent/metrics/http_server.h"

#include <CivetServer.h>

#include <exception>
#include <utility>

namespace sluice {

namespace {

void answer(mg_connection* connection, const char* status, const char* type,
            const std::string& body) {
  mg_printf(connection,
            "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
            "Connection: close\r\n\r\n",
            status, type, body.size());
  mg_write(connection, body.data(), body.size());
}

class MetricsHandler : public CivetHandler {
 public:
  explicit MetricsHandler(std::function<std::string()> metrics) : metrics_(std::move(metrics)) {}
  bool handleGet(CivetServer*, mg_connection* connection) override {
    answer(connection, "200 OK", "text/plain; version=0.0.4; charset=utf-8", metrics_());
    return true;
  }

 private:
  std::function<std::string()> metrics_;
};

class HealthHandler : public CivetHandler {
 public:
  explicit HealthHandler(std::function<std::vector<std::string>()> failing)
      : failing_(std::move(failing)) {}
  bool handleGet(CivetServer*, mg_connection* connection) override {
    const std::vector<std::string> conditions = failing_();
    std::string body;
    for (const std::string& condition : conditions) body += condition + "\n";
    if (conditions.empty()) body = "ok\n";
    answer(connection, conditions.empty() ? "200 OK" : "503 Service Unavailable",
           "text/plain; charset=utf-8", body);
    return true;
  }

 private:
  std::function<std::vector<std::string>()> failing_;
};

}  // namespace

Result<std::unique_ptr<MetricsHttpServer>> MetricsHttpServer::start(MetricsHttpOptions options) {
  if (options.address.empty()) return fail(ErrorCode::kInvalid, "metricsAddress: is empty");
  auto server = std::unique_ptr<MetricsHttpServer>(new MetricsHttpServer());
  try {
    server->server_ = std::make_unique<CivetServer>(std::vector<std::string>{
        "listening_ports", options.address, "num_threads", "2", "keep_alive_timeout_ms", "500"});
  } catch (const std::exception& error) {
    return fail(ErrorCode::kUnavailable,
                "metricsAddress: cannot listen on \"" + options.address +
                    "\": the address is wrong, not of this host, or in use");
  }
  server->handlers_.push_back(std::make_unique<MetricsHandler>(std::move(options.metrics)));
  server->handlers_.push_back(std::make_unique<HealthHandler>(std::move(options.failing)));
  server->server_->addHandler("/metrics$", server->handlers_[0].get());
  server->server_->addHandler("/healthz$", server->handlers_[1].get());
  return server;
}

MetricsHttpServer::~MetricsHttpServer() = default;

int MetricsHttpServer::port() const {
  const std::vector<int> ports = server_->getListeningPorts();
  return ports.empty() ? 0 : ports.front();
}

}  // namespace sluice
