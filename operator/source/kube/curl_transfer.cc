// SPDX-License-Identifier: Apache-2.0
// One request as libcurl knows it.
#include "operator/source/kube/curl_transfer.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <utility>

namespace sluice {
namespace {

constexpr long kKeepaliveIdleSeconds = 10;
constexpr long kKeepaliveIntervalSeconds = 5;
constexpr int kKeepaliveProbes = 4;
constexpr unsigned kUnacknowledgedMs = 30'000;

int on_socket_made(void*, curl_socket_t fd, curlsocktype) {
  const int probes = kKeepaliveProbes;
  const unsigned unacknowledged = kUnacknowledgedMs;
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof(unacknowledged));
  return CURL_SOCKOPT_OK;  // without them a dead peer is found later
}

curl_blob blob_of(const std::string& text) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): libcurl copies it
  return {.data = const_cast<char*>(text.data()), .len = text.size(), .flags = CURL_BLOB_COPY};
}

struct HostPort {
  std::string host;  // with brackets where it is IPv6
  std::string port;
  std::string rest;  // "/api..."
};

HostPort split_url(const std::string& url) {
  HostPort parts{.host = "", .port = "443", .rest = ""};
  const size_t start = url.find("//") + 2;
  const size_t slash = std::min(url.find('/', start), url.size());
  parts.rest = url.substr(slash);
  std::string authority = url.substr(start, slash - start);
  const size_t colon = authority.rfind(':');
  if (colon != std::string::npos && authority.find(']', colon) == std::string::npos) {
    parts.port = authority.substr(colon + 1);
    authority.resize(colon);
  }
  parts.host = authority;
  return parts;
}

ErrorCode code_of(CURLcode code) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return ErrorCode::kTimeout;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return ErrorCode::kPermission;
    default:
      return ErrorCode::kUnavailable;
  }
}

}  // namespace

CurlTransfer::CurlTransfer(asio::io_context& loop, HttpId id, HttpRequest request,
                           HttpHandlers handlers)
    : id_(id),
      request_(std::move(request)),
      handlers_(std::move(handlers)),
      easy_(curl_easy_init()),
      silence_(loop),
      last_byte_(std::chrono::steady_clock::now()) {}

CurlTransfer::~CurlTransfer() {
  curl_easy_cleanup(easy_);
  curl_slist_free_all(headers_);
  curl_slist_free_all(connect_to_);
}

bool CurlTransfer::prepare() {
  if (easy_ == nullptr) return false;
  bool good = true;
  const auto set = [&](CURLoption option, auto value) {
    good = good && curl_easy_setopt(easy_, option, value) == CURLE_OK;
  };
  set(CURLOPT_PRIVATE, this);
  set(CURLOPT_ERRORBUFFER, error_.data());
  set(CURLOPT_PROTOCOLS_STR, "https");
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  set(CURLOPT_PIPEWAIT, request_.repeatable ? 1L : 0L);
  set(CURLOPT_FRESH_CONNECT, request_.repeatable ? 0L : 1L);
  set(CURLOPT_FORBID_REUSE, request_.repeatable ? 0L : 1L);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request_.connect_timeout.count()));
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_TCP_KEEPIDLE, kKeepaliveIdleSeconds);
  set(CURLOPT_TCP_KEEPINTVL, kKeepaliveIntervalSeconds);
  set(CURLOPT_SOCKOPTFUNCTION, &on_socket_made);
  set(CURLOPT_HEADERFUNCTION, &CurlTransfer::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(CURLOPT_WRITEFUNCTION, &CurlTransfer::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  return good && set_request() &&
         (request_.identity == nullptr || set_identity(*request_.identity));
}

bool CurlTransfer::set_request() {
  bool good = true;
  const auto set = [&](CURLoption option, auto value) {
    good = good && curl_easy_setopt(easy_, option, value) == CURLE_OK;
  };
  set(CURLOPT_URL, request_.url.c_str());
  if (!request_.body.empty()) {
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    set(CURLOPT_POSTFIELDS, request_.body.data());
  }
  if (request_.method != "GET" || !request_.body.empty())
    set(CURLOPT_CUSTOMREQUEST, request_.method.c_str());
  for (const std::string& header : request_.headers) {
    headers_ = curl_slist_append(headers_, header.c_str());
  }
  headers_ = curl_slist_append(headers_, "Expect:");  // never wait for a 100 before the body
  set(CURLOPT_HTTPHEADER, headers_);
  return good;
}

bool CurlTransfer::set_identity(const HttpIdentity& identity) {
  bool good = true;
  const auto set = [&](CURLoption option, auto value) {
    good = good && curl_easy_setopt(easy_, option, value) == CURLE_OK;
  };
  if (!identity.authority.empty()) {
    curl_blob authority = blob_of(identity.authority);
    set(CURLOPT_CAINFO_BLOB, &authority);
    // The system's folder of authorities would be trusted beside ours.
    set(CURLOPT_CAPATH, static_cast<char*>(nullptr));
  }
  if (!identity.certificate.empty()) {
    curl_blob certificate = blob_of(identity.certificate);
    curl_blob key = blob_of(identity.key);
    set(CURLOPT_SSLCERT_BLOB, &certificate);
    set(CURLOPT_SSLKEY_BLOB, &key);
  }
  if (!identity.server_name.empty()) {
    // libcurl expects of the server the host of the URL: put the name there, and the way to it
    // aside.
    const HostPort parts = split_url(request_.url);
    const std::string url = "https://" + identity.server_name + ":" + parts.port + parts.rest;
    const std::string way = "::" + parts.host + ":" + parts.port;
    connect_to_ = curl_slist_append(connect_to_, way.c_str());
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_CONNECT_TO, connect_to_);
  }
  return good;
}

void CurlTransfer::watch_silence(OnSilent on_silent) {
  on_silent_ = std::move(on_silent);
  last_byte_ = std::chrono::steady_clock::now();
  wait_silence(last_byte_ + request_.idle_timeout);
}

// One timer that looks again when it fires, in place of one that moves with every byte.
void CurlTransfer::wait_silence(std::chrono::steady_clock::time_point until) {
  silence_.expires_at(until);
  silence_.async_wait([weak = weak_from_this()](const asio::error_code& error) {
    const auto self = weak.lock();
    if (error || !self || !self->on_silent_) return;
    const auto due = self->last_byte_ + self->request_.idle_timeout;
    if (due > std::chrono::steady_clock::now()) return self->wait_silence(due);
    std::exchange(self->on_silent_, nullptr)();
  });
}

size_t CurlTransfer::on_header(char* data, size_t size, size_t count, void* self) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  transfer.last_byte_ = std::chrono::steady_clock::now();
  const std::string_view line(data, size * count);
  if (line != "\r\n" && line != "\n") return size * count;
  long status = 0;
  curl_off_t retry_after = 0;
  const char* type = nullptr;
  curl_easy_getinfo(transfer.easy_, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(transfer.easy_, CURLINFO_RETRY_AFTER, &retry_after);
  curl_easy_getinfo(transfer.easy_, CURLINFO_CONTENT_TYPE, &type);
  if (status < 200) return size * count;  // an interim answer; the real one follows
  // Held by value: the handler may cancel the transfer.
  if (const auto head = transfer.handlers_.head) {
    head({.status = static_cast<int>(status),
          .content_type = type == nullptr ? "" : type,
          .retry_after = std::chrono::seconds(retry_after)});
  }
  return size * count;
}

size_t CurlTransfer::on_body(char* data, size_t size, size_t count, void* self) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  transfer.last_byte_ = std::chrono::steady_clock::now();
  if (const auto body = transfer.handlers_.body) body(std::string_view(data, size * count));
  return size * count;
}

HttpHandlers CurlTransfer::release_handlers() {
  on_silent_ = nullptr;
  silence_.cancel();
  return std::exchange(handlers_, {});
}

std::string CurlTransfer::what() const {
  return request_.method + " " + request_.url.substr(0, request_.url.find('?'));
}

bool CurlTransfer::was_sent() const {
  curl_off_t microseconds = 0;
  curl_easy_getinfo(easy_, CURLINFO_PRETRANSFER_TIME_T, &microseconds);
  return microseconds > 0;
}

HttpEnd CurlTransfer::end_of(CURLcode code) const {
  HttpEnd end{.status = {}, .sent = was_sent(), .silent = false};
  if (code == CURLE_OK) return end;
  const char* why = error_.front() != '\0' ? error_.data() : curl_easy_strerror(code);
  end.status = fail(code_of(code), what() + ": " + why);
  return end;
}

HttpEnd CurlTransfer::end_of_silence() const {
  const auto seconds = std::chrono::duration<double>(request_.idle_timeout).count();
  std::string text = std::to_string(seconds);
  text.resize(text.find('.') + 2);
  return {.status = fail(ErrorCode::kTimeout, what() + ": not a byte for " + text + " s"),
          .sent = was_sent(),
          .silent = true};
}

}  // namespace sluice
