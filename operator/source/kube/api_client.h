// SPDX-License-Identifier: Apache-2.0
// Requests to the API server: which of several servers, who we are, and what may be tried again.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/backoff/backoff.h"
#include "lib/loop/timers.h"
#include "operator/source/kube/body.h"
#include "operator/source/kube/credentials.h"
#include "operator/source/kube/http.h"

namespace sluice {

struct ApiCall {
  std::string method = "GET";
  std::string target{};  // path and query: "/api/v1/pods?limit=500"
  std::string accept = "application/json";
  std::string content_type{};  // of the body; empty: no body
  std::string body{};
  std::chrono::milliseconds idle_timeout{30'000};
  // Doing it twice is as good as once. Not so for POST, but for reviews, which change nothing.
  std::optional<bool> repeatable{};  // absent: by the method
};

struct ApiAnswer {
  int status = 0;
  std::string content_type{};
  std::string body{};

  bool good() const { return status >= 200 && status < 300; }
};

// "GET /api/v1/pods: 403 Forbidden: pods is forbidden: ..."
Error error_of(std::string_view method, std::string_view target, const ApiAnswer& answer);
// What the body says, in either encoding; the bare code where it says nothing.
ApiStatus status_of(const ApiAnswer& answer);

struct ApiClientMetrics {
  std::map<std::string, uint64_t> requests{};  // by outcome: "200", "timeout", "lost"
  uint64_t failovers = 0;
  uint64_t retries = 0;
  uint64_t credential_reloads = 0;
};

// Connections are made anew as credentials change. A server that cannot be reached, is silent or
// answers 5xx is left for the next of the list. Thread: the loop's.
class ApiClient {
 public:
  struct Options {
    BackoffLimits backoff{};
    std::chrono::milliseconds deadline{30'000};  // of `request`, all tries together
    std::chrono::milliseconds connect_timeout{10'000};
  };
  using OnAnswer = std::function<void(Result<ApiAnswer>)>;

  // http and timers outlive it.
  ApiClient(Http& http, Timers& timers, Credentials credentials, Random random, Options options);
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;
  ~ApiClient();

  // One try, the answer as it comes: for lists and watches, which have their own way to go on.
  HttpId start(const ApiCall& call, HttpHandlers handlers);
  void cancel(HttpId id) { http_.cancel(id); }

  // The whole answer, whatever its status. Tried again until the deadline where the server cannot
  // have done it (no connection, 401 once, 429), and after any failure where doing it twice is as
  // good as once. kUnavailable, kTimeout: no answer; the context says whether a write may have
  // been done.
  void request(ApiCall call, OnAnswer on_answer);

  const ApiClientMetrics& metrics() const { return metrics_; }
  const std::string& server() const { return credentials_.servers()[server_]; }
  const std::string& credential_problem() const { return credentials_.problem(); }

 private:
  struct Exchange;
  void try_once(const std::shared_ptr<Exchange>& exchange);
  void conclude(std::shared_ptr<Exchange> exchange, const HttpEnd& end);
  bool may_repeat(const Exchange& exchange, const HttpEnd& end) const;
  void note_head(size_t server, const HttpHead& head);
  void note_end(size_t server, const HttpEnd& end);
  void leave(size_t server);
  void give_up(uint64_t exchange);

  Http& http_;
  Timers& timers_;
  Credentials credentials_;
  Random random_;
  Options options_;
  std::string told_problem_;  // of the credentials, in the log
  size_t server_ = 0;         // index of the one in use
  uint64_t last_exchange_ = 0;
  std::map<uint64_t, std::shared_ptr<Exchange>> exchanges_;
  ApiClientMetrics metrics_;
};

}  // namespace sluice
