// SPDX-License-Identifier: Apache-2.0
// A request is what HTTP/1.x sends up to its first empty line:
//   GET SP target SP HTTP/1.1 CRLF *(header CRLF) CRLF
// Headers are not read, one connection carries one request.
#include "lib/http/metrics_http.h"

#include <asio/any_io_executor.hpp>
#include <asio/dispatch.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/v6_only.hpp>
#include <asio/read_until.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#include <asio/write.hpp>
#include <charconv>
#include <chrono>
#include <deque>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

namespace sluice {

namespace {

using asio::ip::tcp;

constexpr size_t kThreads = 2;  // so that a probe does not wait for a scrape
constexpr size_t kConnectionsMax = 256;
constexpr size_t kRequestMaxBytes = 8192;
constexpr auto kRequestTime = std::chrono::seconds(2);
constexpr auto kAnswerTime = std::chrono::seconds(10);
constexpr auto kAcceptPause = std::chrono::milliseconds(50);  // after no descriptor was free

struct Answer {
  const char* status = "200 OK";
  const char* type = "text/plain; charset=utf-8";
  std::string body{};
};

Answer health(const std::vector<std::string>& failing) {
  if (failing.empty()) return {.body = "ok\n"};
  Answer answer{.status = "503 Service Unavailable"};
  for (const std::string& line : failing) answer.body += line + "\n";
  return answer;
}

Answer answer_to(std::string_view method, std::string_view target,
                 const MetricsHttpOptions& options) {
  if (method != "GET" && method != "HEAD")
    return {.status = "405 Method Not Allowed", .body = "GET only\n"};
  target = target.substr(0, target.find('?'));
  if (target == "/metrics")
    return {.type = "text/plain; version=0.0.4; charset=utf-8", .body = options.metrics()};
  if (target == "/healthz") return health(options.failing());
  return {.status = "404 Not Found", .body = "there are /metrics and /healthz\n"};
}

std::string response_to(std::string_view request, const MetricsHttpOptions& options) {
  const std::string_view line = request.substr(0, request.find("\r\n"));
  const size_t first = line.find(' ');
  const size_t second = first == line.npos ? line.npos : line.find(' ', first + 1);
  const std::string_view method = line.substr(0, first);
  const Answer answer =
      second == line.npos ? Answer{.status = "400 Bad Request", .body = "not HTTP/1.1\n"}
                          : answer_to(method, line.substr(first + 1, second - first - 1), options);
  return std::string("HTTP/1.1 ") + answer.status + "\r\nContent-Type: " + answer.type +
         "\r\nContent-Length: " + std::to_string(answer.body.size()) +
         "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n" +
         (method == "HEAD" ? std::string() : answer.body);
}

// Everything of a connection runs on the strand of its socket.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, const MetricsHttpOptions& options)
      : socket_(std::move(socket)), timer_(socket_.get_executor()), options_(options) {}

  // Any thread, once.
  void start() {
    asio::dispatch(socket_.get_executor(), [self = shared_from_this()] { self->read(); });
  }

  // Any thread.
  void give_up() {
    asio::dispatch(socket_.get_executor(), [self = shared_from_this()] { self->end(); });
  }

 private:
  void read() {
    limit(kRequestTime);
    asio::async_read_until(socket_, asio::dynamic_buffer(text_, kRequestMaxBytes), "\r\n\r\n",
                           [self = shared_from_this()](const asio::error_code& error, size_t) {
                             if (error) return self->end();
                             self->respond();
                           });
  }

  void respond() {
    text_ = response_to(text_, options_);
    limit(kAnswerTime);
    asio::async_write(socket_, asio::buffer(text_),
                      [self = shared_from_this()](const asio::error_code&, size_t) {
                        asio::error_code ignored;
                        self->socket_.shutdown(tcp::socket::shutdown_send, ignored);
                        self->end();
                      });
  }

  void limit(std::chrono::steady_clock::duration time) {
    timer_.expires_after(time);
    timer_.async_wait([weak = weak_from_this()](const asio::error_code& error) {
      const auto self = weak.lock();
      if (self && !error) self->end();
    });
  }

  void end() {
    asio::error_code ignored;
    timer_.cancel();
    socket_.close(ignored);
  }

  tcp::socket socket_;
  asio::steady_timer timer_;
  const MetricsHttpOptions& options_;
  std::string text_;  // the request, then the answer
};

std::optional<tcp::endpoint> parse_endpoint(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  std::string host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
  asio::error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error || parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return tcp::endpoint(address, port);
}

}  // namespace

class MetricsHttpServer::Listener {
 public:
  explicit Listener(MetricsHttpOptions options)
      : options_(std::move(options)),
        acceptor_(asio::make_strand(loop_)),
        pause_(acceptor_.get_executor()) {}

  ~Listener() { loop_.stop(); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  Status open() {
    const auto endpoint = parse_endpoint(options_.address);
    if (!endpoint)
      return fail(ErrorCode::kInvalid, "\"" + options_.address + "\" is not ADDRESS:PORT");
    asio::error_code error = listen(*endpoint);
    const bool every = endpoint->address().is_v6() && endpoint->address().is_unspecified();
    // A host that was started without IPv6: all there is to listen on is IPv4.
    if (every && error == asio::error::address_family_not_supported)
      error = listen(tcp::endpoint(tcp::v4(), endpoint->port()));
    if (error)
      return fail(ErrorCode::kUnavailable,
                  "cannot listen on \"" + options_.address + "\": " + error.message());
    accept();
    for (size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this] { loop_.run(); });
    return {};
  }

  int port() const {
    asio::error_code error;
    return acceptor_.local_endpoint(error).port();
  }

 private:
  asio::error_code listen(const tcp::endpoint& endpoint) {
    asio::error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (error) return error;
    acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    const auto address = endpoint.address();
    if (address.is_v6() && address.is_unspecified())
      acceptor_.set_option(asio::ip::v6_only(false), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(tcp::acceptor::max_listen_connections, error);
    return error;
  }

  void accept() {
    acceptor_.async_accept(asio::any_io_executor(asio::make_strand(loop_)),
                           [this](const asio::error_code& error, tcp::socket socket) {
                             if (error) return retry();
                             take(std::move(socket));
                             accept();
                           });
  }

  void retry() {
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](const asio::error_code& error) {
      if (!error) accept();
    });
  }

  void take(tcp::socket socket) {
    std::erase_if(connections_, [](const auto& weak) { return weak.expired(); });
    if (connections_.size() >= kConnectionsMax) {
      if (const auto oldest = connections_.front().lock()) oldest->give_up();
      connections_.pop_front();
    }
    const auto connection = std::make_shared<Connection>(std::move(socket), options_);
    connections_.push_back(connection);
    connection->start();
  }

  // The threads end first, then the handlers die with the loop, and what they refer to last.
  const MetricsHttpOptions options_;
  asio::io_context loop_{kThreads};
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  std::deque<std::weak_ptr<Connection>> connections_;  // the acceptor's strand only
  std::vector<std::jthread> threads_;
};

Result<std::unique_ptr<MetricsHttpServer>> MetricsHttpServer::start(MetricsHttpOptions options) {
  if (options.address.empty()) return fail(ErrorCode::kInvalid, "the address is empty");
  auto listener = std::make_unique<Listener>(std::move(options));
  if (auto opened = listener->open(); !opened) return fail(opened.error());
  return std::unique_ptr<MetricsHttpServer>(new MetricsHttpServer(std::move(listener)));
}

MetricsHttpServer::MetricsHttpServer(std::unique_ptr<Listener> listener)
    : listener_(std::move(listener)) {}

MetricsHttpServer::~MetricsHttpServer() = default;

int MetricsHttpServer::port() const {
  return listener_->port();
}

}  // namespace sluice
