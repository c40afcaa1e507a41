// SPDX-License-Identifier: Apache-2.0
// The operator's loop: objects come from the API server, resolved intent goes to the agents, what
// agents say goes back to the API server. Wires the folders; decides nothing that they could.
#pragma once

#include <asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/http/metrics_http.h"
#include "lib/loop/timers.h"
#include "operator/certify/certifier.h"
#include "operator/config/config.h"
#include "operator/lead/election.h"
#include "operator/metrics/metrics.h"
#include "operator/nodes/node_marks.h"
#include "operator/resolve/resolve.h"
#include "operator/review/token_review.h"
#include "operator/source/kube/curl_http.h"
#include "operator/source/kube/source.h"
#include "operator/stream/control_server.h"
#include "operator/stream/tls.h"

namespace sluice {

// Thread: the one that runs `loop`.
class Operator {
 public:
  // Something that cannot be mended while running: the process has to end.
  using OnFatal = std::function<void(const Error&)>;

  // Opens everything; agents are served once there is a certificate and all is listed. Errors name
  // the flag or the part. `loop` and `config` outlive it.
  static Result<std::unique_ptr<Operator>> start(asio::io_context& loop,
                                                 const OperatorConfig& config, OnFatal on_fatal);
  // Ends the streams: agents go on with what they hold and try another replica.
  ~Operator();
  Operator(const Operator&) = delete;
  Operator& operator=(const Operator&) = delete;

  // Gives up what only one replica can have. `done` is called once, whatever the API server does.
  void stop(std::function<void()> done) { election_->release(std::move(done)); }

 private:
  Operator(asio::io_context& loop, const OperatorConfig& config, OnFatal on_fatal);

  Status open_api();
  Status open_source();
  Status open_single();
  Status open_metrics();

  void take_changes(std::vector<ObjectChange> changes);
  Status use_certificate(const KeyPair& pair);
  Status open_server();
  void tick();
  OperatorFigures figures();
  std::vector<std::string> failing() const;

  asio::io_context& loop_;
  const OperatorConfig& config_;
  const OnFatal on_fatal_;
  const std::string instance_;  // of this process: never the same twice
  LoopTimers timers_;
  TimerId tick_ = 0;

  std::unique_ptr<CurlHttp> http_;
  std::unique_ptr<ApiClient> api_;
  std::unique_ptr<ApiClient> lease_api_;  // gives up sooner
  Resolver resolver_;
  bool problems_stale_ = true;
  uint64_t intent_problems_ = 0;
  std::unique_ptr<KubeSource> source_;
  std::unique_ptr<Election> election_;
  std::unique_ptr<Certifier> certifier_;
  std::unique_ptr<NodeMarks> marks_;
  std::unique_ptr<ApiTokenReviewer> reviewer_;
  std::optional<ServerTls> tls_;
  std::unique_ptr<ControlServer> server_;
  PublishedFigures published_;
  std::unique_ptr<MetricsHttpServer> metrics_;
};

}  // namespace sluice
