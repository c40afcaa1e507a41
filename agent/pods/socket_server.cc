// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/socket_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <asio/buffer.hpp>
#include <asio/steady_timer.hpp>
#include <asio/write.hpp>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "lib/fd/file_id.h"

namespace sluice {

using Protocol = asio::local::stream_protocol;

// Outlives the server in the handlers that asio still holds.
struct SocketServer::Shared {
  Shared(asio::io_context& io, SocketServerSettings server_settings,
         std::map<uint8_t, Handler> services)
      : loop(io),
        settings(std::move(server_settings)),
        handlers(std::move(services)),
        acceptor(io),
        retry(io) {}

  asio::io_context& loop;
  SocketServerSettings settings;
  std::map<uint8_t, Handler> handlers;
  Protocol::acceptor acceptor;
  asio::steady_timer retry;
  SocketCounters counters;
  FileId bound;  // what listen() put at the path
  bool closed = false;
};

// One client: one request, one answer. Lives as long as a handler of it does.
class SocketServer::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(std::shared_ptr<Shared> shared, Protocol::socket socket)
      : shared_(std::move(shared)),
        socket_(std::move(socket)),
        timer_(shared_->loop),
        decoder_(shared_->settings.request_max_bytes) {
    ++shared_->counters.active;
  }
  ~Session() { leave(); }

  void start() {
    arm(shared_->settings.request_deadline);
    read();
  }

 private:
  void arm(std::chrono::milliseconds deadline) {
    timer_.expires_after(deadline);
    timer_.async_wait([self = weak_from_this()](const asio::error_code& error) {
      const auto session = self.lock();
      if (error || !session) return;
      ++session->shared_->counters.stalled;
      session->close();
    });
  }

  void read() {
    socket_.async_read_some(asio::buffer(chunk_),
                            [self = shared_from_this()](const asio::error_code& error, size_t got) {
                              if (error) return self->close();
                              self->decoder_.append({self->chunk_.data(), got});
                              self->take_frame();
                            });
  }

  void take_frame() {
    auto frame = decoder_.next();
    if (!frame) {
      ++shared_->counters.bad_frames;
      return close();
    }
    if (!*frame) return read();
    timer_.cancel();
    const auto handler = shared_->handlers.find((*frame)->service);
    if (handler == shared_->handlers.end()) {
      ++shared_->counters.unknown_service;
      return close();
    }
    const uint8_t service = (*frame)->service;
    handler->second(std::move((*frame)->message),
                    [self = shared_from_this(), service](const std::string& answer) {
                      self->send(encode_frame(service, answer));
                    });
  }

  void send(std::string frame) {
    if (shared_->closed) return close();
    answer_ = std::move(frame);
    arm(shared_->settings.write_deadline);
    asio::async_write(
        socket_, asio::buffer(answer_),
        [self = shared_from_this()](const asio::error_code&, size_t) { self->close(); });
  }

  // Before the client can see that it was closed: it, or the next one, may come back at once.
  void leave() {
    if (left_) return;
    left_ = true;
    --shared_->counters.active;
  }

  void close() {
    timer_.cancel();
    leave();
    asio::error_code ignored;
    socket_.close(ignored);
  }

  std::shared_ptr<Shared> shared_;
  Protocol::socket socket_;
  asio::steady_timer timer_;
  FrameDecoder decoder_;
  std::array<char, 16384> chunk_{};
  std::string answer_;
  bool left_ = false;
};

namespace {

Status clear_the_way(const std::string& path) {
  struct stat present{};
  if (lstat(path.c_str(), &present) != 0) {
    return errno == ENOENT ? Status() : Status(fail(from_errno("socket " + path)));
  }
  if (!S_ISSOCK(present.st_mode)) {
    return fail(ErrorCode::kExists,
                "socket " + path + ": something that is no socket is there; remove it");
  }
  asio::io_context probe_loop;
  Protocol::socket probe(probe_loop);
  asio::error_code error;
  probe.connect(Protocol::endpoint(path), error);
  if (!error || error == asio::error::would_block || error == asio::error::try_again) {
    return fail(ErrorCode::kExists,
                "socket " + path + ": another sluice-agent serves there; stop it first");
  }
  return {};
}

bool is_root(Protocol::socket& socket) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  return getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
         peer.uid == 0;
}

// Bound under another name with its final mode and then moved: nobody meets a socket that is not
// listening yet, or one with a wider mode.
Status bind_at(Protocol::acceptor& acceptor, const std::string& path) {
  const std::string hidden = path + ".new";
  unlink(hidden.c_str());
  asio::error_code error;
  acceptor.open(Protocol(), error);
  if (!error) acceptor.bind(Protocol::endpoint(hidden), error);
  if (error) return fail(from_errno("bind " + hidden, error.value()));
  if (chmod(hidden.c_str(), 0600) != 0) return fail(from_errno("chmod " + hidden));
  acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return fail(from_errno("listen on " + hidden, error.value()));
  if (std::rename(hidden.c_str(), path.c_str()) != 0)
    return fail(from_errno("rename " + hidden + " to " + path));
  return {};
}

}  // namespace

Result<std::unique_ptr<SocketServer>> SocketServer::listen(asio::io_context& loop,
                                                           SocketServerSettings settings,
                                                           std::map<uint8_t, Handler> handlers) {
  const std::string path = settings.path;
  if (path.empty() || path.size() > 103) {
    return fail(ErrorCode::kInvalid, "socket '" + path + "': a path has 1 to 103 bytes");
  }
  if (Status made = make_directories(std::filesystem::path(path).parent_path()); !made)
    return fail(made.error());
  if (Status clear = clear_the_way(path); !clear) return fail(clear.error());
  auto shared = std::make_shared<Shared>(loop, std::move(settings), std::move(handlers));
  if (Status bound = bind_at(shared->acceptor, path); !bound) return fail(bound.error());
  shared->bound = file_id(path);
  accept(shared);
  return std::unique_ptr<SocketServer>(new SocketServer(std::move(shared)));
}

SocketServer::SocketServer(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

SocketServer::~SocketServer() {
  shared_->closed = true;
  asio::error_code ignored;
  shared_->acceptor.close(ignored);
  shared_->retry.cancel();
  unlink(shared_->settings.path.c_str());
}

Result<bool> SocketServer::keep() {
  const std::string& path = shared_->settings.path;
  if (shared_->acceptor.is_open() && file_id(path) == shared_->bound) return false;
  if (Status made = make_directories(std::filesystem::path(path).parent_path()); !made)
    return fail(made.error());
  if (Status clear = clear_the_way(path); !clear) return fail(clear.error());
  Protocol::acceptor anew(shared_->loop);
  if (Status bound = bind_at(anew, path); !bound) return fail(bound.error());
  shared_->bound = file_id(path);
  // Ends the wait on the old one, which then waits on this one.
  shared_->acceptor = std::move(anew);
  return true;
}

const SocketCounters& SocketServer::counters() const {
  return shared_->counters;
}

void SocketServer::accept(const std::shared_ptr<Shared>& shared) {
  shared->acceptor.async_accept([shared](const asio::error_code& error, Protocol::socket socket) {
    if (shared->closed) return;
    if (error) {
      // Out of descriptors, mostly: the client stays in the queue, and asking again at once would
      // only spin.
      shared->retry.expires_after(std::chrono::milliseconds(50));
      shared->retry.async_wait([shared](const asio::error_code& cancelled) {
        if (!cancelled && !shared->closed) accept(shared);
      });
      return;
    }
    ++shared->counters.accepted;
    if (!is_root(socket)) {
      ++shared->counters.refused_peer;
    } else if (shared->counters.active >= shared->settings.clients_max) {
      ++shared->counters.refused_full;
    } else {
      std::make_shared<Session>(shared, std::move(socket))->start();
    }
    accept(shared);
  });
}

}  // namespace sluice
