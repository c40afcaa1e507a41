// SPDX-License-Identifier: Apache-2.0
// agent.sock: takes frames of root's clients (sluice-cni, sluice) and hands each to the service
// that its byte names.
#pragma once

#include <asio/io_context.hpp>
#include <asio/local/stream_protocol.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "lib/frame/frame.h"
#include "lib/result/result.h"

namespace sluice {

struct SocketServerSettings {
  std::string path = "/run/sluice/agent.sock";
  uint32_t request_max_bytes = kRequestMaxBytes;
  size_t clients_max = 512;
  std::chrono::milliseconds request_deadline{10'000};  // from connect to a whole request
  std::chrono::milliseconds write_deadline{10'000};    // of the answer
};

struct SocketCounters {
  uint64_t accepted = 0;
  uint64_t refused_peer = 0;  // not root
  uint64_t refused_full = 0;  // more than clients_max
  uint64_t stalled = 0;       // no whole request, or the answer not taken, in time
  uint64_t bad_frames = 0;    // length out of bounds
  uint64_t unknown_service = 0;
  uint64_t active = 0;
};

// Thread: the io_context's only thread.
class SocketServer {
 public:
  // Takes a request's message; calls `reply` once with the answer's, now or later.
  using Handler = std::function<void(std::string message, std::function<void(std::string)> reply)>;

  // Binds mode 0600 and replaces a socket that nobody listens on. kExists: another agent serves
  // there, or the path is no socket. Serves until destroyed; `handlers` by service byte.
  static Result<std::unique_ptr<SocketServer>> listen(asio::io_context& loop,
                                                      SocketServerSettings settings,
                                                      std::map<uint8_t, Handler> handlers);
  ~SocketServer();
  SocketServer(const SocketServer&) = delete;
  SocketServer& operator=(const SocketServer&) = delete;

  const SocketCounters& counters() const;
  // Where somebody took the path away: binds it again. True: it did. Requests that are under way go
  // on.
  Result<bool> keep();

 private:
  struct Shared;
  class Session;
  explicit SocketServer(std::shared_ptr<Shared> shared);
  static void accept(const std::shared_ptr<Shared>& shared);
  std::shared_ptr<Shared> shared_;
};

}  // namespace sluice
