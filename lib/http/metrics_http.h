// SPDX-License-Identifier: Apache-2.0
// HTTP face of a daemon of ours for machines: GET /metrics and GET /healthz.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/result/result.h"

namespace sluice {

struct MetricsHttpOptions {
  std::string address;                   // "192.0.2.1:9962", "[::1]:9962"; "[::]:9962": IPv4 too
  std::function<std::string()> metrics;  // body of /metrics
  std::function<std::vector<std::string>()>
      failing;  // of /healthz: what is wrong; none: 200 "ok", else 503 and the lines
};

// Every pod of a node can connect: a connection costs a descriptor and no thread, has little time
// to say what it wants, and the oldest one goes when there are too many.
class MetricsHttpServer {
 public:
  // Two threads of its own call the functions of `options`. Errors: kInvalid/kUnavailable name the
  // address.
  static Result<std::unique_ptr<MetricsHttpServer>> start(MetricsHttpOptions options);
  ~MetricsHttpServer();
  MetricsHttpServer(const MetricsHttpServer&) = delete;
  MetricsHttpServer& operator=(const MetricsHttpServer&) = delete;

  int port() const;

 private:
  class Listener;
  explicit MetricsHttpServer(std::unique_ptr<Listener> listener);
  std::unique_ptr<Listener> listener_;
};

}  // namespace sluice
