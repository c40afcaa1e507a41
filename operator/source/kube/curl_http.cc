// SPDX-License-Identifier: Apache-2.0
// HTTP/2 over TLS by libcurl's multi interface on an asio loop.
#include "operator/source/kube/curl_http.h"

#include <curl/curl.h>
#include <fcntl.h>

#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <map>
#include <utility>

#include "operator/source/kube/curl_transfer.h"

namespace sluice {
namespace {

// A socket of libcurl as the loop sees it: a descriptor of its own, so that neither closes the
// other's.
struct Socket {
  Socket(asio::io_context& loop, int fd) : descriptor(loop, fd) {}
  asio::posix::stream_descriptor descriptor;
  int wanted = 0;  // CURL_POLL_*
  bool waits_read = false;
  bool waits_write = false;
};

}  // namespace

class CurlHttp::Multi : public std::enable_shared_from_this<Multi> {
 public:
  explicit Multi(asio::io_context& loop) : loop_(loop), timer_(loop), multi_(curl_multi_init()) {}
  ~Multi() { close(); }
  Multi(const Multi&) = delete;
  Multi& operator=(const Multi&) = delete;

  bool prepare();
  void close();
  HttpId start(HttpRequest request, HttpHandlers handlers);
  void cancel(HttpId id);

 private:
  static int on_socket(CURL* easy, curl_socket_t fd, int what, void* self, void* socket);
  static int on_timer(CURLM* multi, long timeout_ms, void* self);
  void add(HttpId id);
  void want(curl_socket_t fd, int what);
  void wait(curl_socket_t fd, const std::shared_ptr<Socket>& socket);
  void act(curl_socket_t fd, int events);
  void collect();
  void finish(const std::shared_ptr<CurlTransfer>& transfer, const HttpEnd& end);
  void remove(const std::shared_ptr<CurlTransfer>& transfer);

  asio::io_context& loop_;
  asio::steady_timer timer_;
  CURLM* multi_;
  HttpId last_ = 0;
  std::map<HttpId, std::shared_ptr<CurlTransfer>> transfers_;
  std::map<curl_socket_t, std::shared_ptr<Socket>> sockets_;
};

bool CurlHttp::Multi::prepare() {
  return multi_ != nullptr &&
         curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Multi::on_socket) == CURLM_OK &&
         curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, static_cast<void*>(this)) == CURLM_OK &&
         curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Multi::on_timer) == CURLM_OK &&
         curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, static_cast<void*>(this)) == CURLM_OK &&
         curl_multi_setopt(multi_, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_MULTIPLEX)) ==
             CURLM_OK;
}

void CurlHttp::Multi::close() {
  if (multi_ == nullptr) return;
  for (const auto& [id, transfer] : transfers_) {
    transfer->release_handlers();
    if (transfer->added) curl_multi_remove_handle(multi_, transfer->handle());
  }
  transfers_.clear();
  curl_multi_cleanup(std::exchange(multi_, nullptr));
  sockets_.clear();
  timer_.cancel();
}

HttpId CurlHttp::Multi::start(HttpRequest request, HttpHandlers handlers) {
  const HttpId id = ++last_;
  transfers_[id] =
      std::make_shared<CurlTransfer>(loop_, id, std::move(request), std::move(handlers));
  // libcurl takes no new handle from inside its own callbacks, from which we may be called.
  asio::post(loop_, [weak = weak_from_this(), id] {
    if (const auto self = weak.lock()) self->add(id);
  });
  return id;
}

void CurlHttp::Multi::add(HttpId id) {
  const auto found = transfers_.find(id);
  if (multi_ == nullptr || found == transfers_.end()) return;
  const auto transfer = found->second;
  if (!transfer->prepare() || curl_multi_add_handle(multi_, transfer->handle()) != CURLM_OK) {
    return finish(transfer, transfer->end_of(CURLE_FAILED_INIT));
  }
  transfer->added = true;
  transfer->watch_silence([this, weak = std::weak_ptr(transfer)] {
    if (const auto silent = weak.lock()) finish(silent, silent->end_of_silence());
  });
}

void CurlHttp::Multi::cancel(HttpId id) {
  auto found = transfers_.extract(id);
  if (found.empty()) return;
  found.mapped()->release_handlers();
  asio::post(loop_, [weak = weak_from_this(), transfer = std::move(found.mapped())] {
    if (const auto self = weak.lock()) self->remove(transfer);
  });
}

void CurlHttp::Multi::remove(const std::shared_ptr<CurlTransfer>& transfer) {
  if (multi_ == nullptr || !std::exchange(transfer->added, false)) return;
  curl_multi_remove_handle(multi_, transfer->handle());
}

void CurlHttp::Multi::finish(const std::shared_ptr<CurlTransfer>& transfer, const HttpEnd& end) {
  remove(transfer);
  transfers_.erase(transfer->id());
  const HttpHandlers handlers = transfer->release_handlers();
  if (handlers.end) handlers.end(end);
}

int CurlHttp::Multi::on_socket(CURL*, curl_socket_t fd, int what, void* self, void*) {
  static_cast<Multi*>(self)->want(fd, what);
  return 0;
}

void CurlHttp::Multi::want(curl_socket_t fd, int what) {
  if (what == CURL_POLL_REMOVE) {
    sockets_.erase(fd);
    return;
  }
  auto& socket = sockets_[fd];
  if (socket == nullptr) {
    const int own = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0) {
      sockets_.erase(fd);
      return;  // out of descriptors: the transfer ends by its idle timeout and is tried again
    }
    socket = std::make_shared<Socket>(loop_, own);
  }
  socket->wanted = what;
  wait(fd, socket);
}

void CurlHttp::Multi::wait(curl_socket_t fd, const std::shared_ptr<Socket>& socket) {
  const auto arm = [&](auto kind, bool Socket::* waits, int bit, int event) {
    if ((socket->wanted & bit) == 0 || std::exchange((*socket).*waits, true)) return;
    socket->descriptor.async_wait(kind, [weak = weak_from_this(), held = std::weak_ptr(socket), fd,
                                         waits, bit, event](const asio::error_code& error) {
      const auto self = weak.lock();
      const auto now = held.lock();
      if (!self || !now || error) return;
      (*now).*waits = false;
      if ((now->wanted & bit) == 0) return;
      self->act(fd, event);
      const auto still = self->sockets_.find(fd);
      if (still != self->sockets_.end() && still->second == now) self->wait(fd, now);
    });
  };
  arm(asio::posix::stream_descriptor::wait_read, &Socket::waits_read, CURL_POLL_IN,
      CURL_CSELECT_IN);
  arm(asio::posix::stream_descriptor::wait_write, &Socket::waits_write, CURL_POLL_OUT,
      CURL_CSELECT_OUT);
}

int CurlHttp::Multi::on_timer(CURLM*, long timeout_ms, void* self) {
  auto& multi = *static_cast<Multi*>(self);
  multi.timer_.cancel();
  if (timeout_ms < 0) return 0;
  multi.timer_.expires_after(std::chrono::milliseconds(timeout_ms));
  multi.timer_.async_wait([weak = multi.weak_from_this()](const asio::error_code& error) {
    const auto again = weak.lock();
    if (again && !error) again->act(CURL_SOCKET_TIMEOUT, 0);
  });
  return 0;
}

void CurlHttp::Multi::act(curl_socket_t fd, int events) {
  if (multi_ == nullptr) return;
  int running = 0;
  curl_multi_socket_action(multi_, fd, events, &running);
  collect();
}

void CurlHttp::Multi::collect() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    void* pointer = nullptr;
    const CURLcode code = message->data.result;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &pointer);
    const auto transfer = static_cast<CurlTransfer*>(pointer)->shared_from_this();
    finish(transfer, transfer->end_of(code));
    if (multi_ == nullptr) return;
  }
}

CurlHttp::CurlHttp(std::shared_ptr<Multi> multi) : multi_(std::move(multi)) {}

CurlHttp::~CurlHttp() {
  multi_->close();
}

Result<std::unique_ptr<CurlHttp>> CurlHttp::open(asio::io_context& loop) {
  const auto* version = curl_version_info(CURLVERSION_NOW);
  if ((version->features & CURL_VERSION_HTTP2) == 0) {
    return fail(ErrorCode::kUnsupported, std::string("libcurl ") + version->version +
                                             " was built without HTTP/2: install libcurl4");
  }
  auto multi = std::make_shared<Multi>(loop);
  if (!multi->prepare()) return fail(ErrorCode::kExhausted, "libcurl: no multi handle");
  return std::unique_ptr<CurlHttp>(new CurlHttp(std::move(multi)));
}

HttpId CurlHttp::start(HttpRequest request, HttpHandlers handlers) {
  return multi_->start(std::move(request), std::move(handlers));
}

void CurlHttp::cancel(HttpId id) {
  multi_->cancel(id);
}

}  // namespace sluice
