// SPDX-License-Identifier: Apache-2.0
// One HTTP exchange as an interface: the border between what is asked of the API server and how it
// gets there.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/result/result.h"

namespace sluice {

// Who we are and whom we trust, as of one reading of the files behind it. PEM.
struct HttpIdentity {
  std::string authority{};    // empty: the system's own authorities
  std::string certificate{};  // of the client, with its chain; empty: none
  std::string key{};
  std::string token{};        // bearer; empty: none
  std::string server_name{};  // expected of the server in place of the URL's host; empty: that host

  bool operator==(const HttpIdentity&) const = default;
};

struct HttpRequest {
  std::string method = "GET";
  std::string url{};                   // https only
  std::vector<std::string> headers{};  // "Accept: application/json"
  std::string body{};
  std::shared_ptr<const HttpIdentity> identity{};
  std::chrono::milliseconds connect_timeout{10'000};  // TCP and TLS together
  std::chrono::milliseconds idle_timeout{30'000};     // longest silence of the server
  // The server may be given it twice where a kept connection turns out to be dead.
  bool repeatable = true;
};

struct HttpHead {
  int status = 0;
  std::string content_type{};
  std::chrono::seconds retry_after{0};  // 0: none said
};

struct HttpEnd {
  Status status{};      // kTimeout: silence; kUnavailable: no connection or lost; kPermission: TLS
  bool sent = false;    // a byte of the request may have reached the server
  bool silent = false;  // it ended by the idle timeout
};

// head, body in pieces, end. Only `end` where no answer came.
struct HttpHandlers {
  std::function<void(const HttpHead&)> head;
  std::function<void(std::string_view)> body;
  std::function<void(const HttpEnd&)> end;
};

using HttpId = uint64_t;  // 0: none

class Http {
 public:
  virtual ~Http() = default;
  // No handler is called from inside `start`; all are called from the loop.
  virtual HttpId start(HttpRequest request, HttpHandlers handlers) = 0;
  // No handler is called any more. One that has ended, and 0, are fine. May be called from a
  // handler.
  virtual void cancel(HttpId id) = 0;
};

}  // namespace sluice
