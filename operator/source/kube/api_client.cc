// SPDX-License-Identifier: Apache-2.0
// Requests to the API server: which of several servers, who we are, and what may be tried again.
#include "operator/source/kube/api_client.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

constexpr size_t kMaxAnswerBytes = 64U << 20;
constexpr std::chrono::seconds kLongestRetryAfter{300};

std::string outcome_of(const HttpEnd& end) {
  switch (end.status.error().code) {
    case ErrorCode::kTimeout:
      return "timeout";
    case ErrorCode::kPermission:
      return "tls";
    default:
      return end.sent ? "lost" : "unreachable";
  }
}

constexpr const char* kMayBeDone =
    "; the server may have done it all the same: read before writing again";

bool is_repeatable(const ApiCall& call) {
  return call.repeatable.value_or(call.method != "POST");
}

}  // namespace

struct ApiClient::Exchange {
  uint64_t id = 0;
  ApiCall call;
  OnAnswer on_answer;
  Backoff backoff;
  Timers::Time deadline;
  HttpId http = 0;
  TimerId timer = 0;      // of the next try
  TimerId last_call = 0;  // of the deadline
  HttpHead head{};
  std::string body{};
  std::string failure{};      // of the try before
  bool refused_once = false;  // by a 401
  bool too_long = false;
};

ApiStatus status_of(const ApiAnswer& answer) {
  ApiStatus bare{.code = answer.status};
  const auto encoding = encoding_of(answer.content_type);
  if (!encoding) {
    bare.message = answer.body.substr(0, 200);
    return bare;
  }
  std::string object = answer.body;
  if (*encoding == Encoding::kProtobuf) object = open_envelope(answer.body).value_or("");
  auto status = parse_status(*encoding, object);
  if (!status) return bare;
  status->code = answer.status;
  return *status;
}

Error error_of(std::string_view method, std::string_view target, const ApiAnswer& answer) {
  const ApiStatus status = status_of(answer);
  ErrorCode code = ErrorCode::kInvalid;
  if (answer.status == 404 || answer.status == 410) code = ErrorCode::kNotFound;
  if (answer.status == 409) code = ErrorCode::kExists;
  if (answer.status == 401 || answer.status == 403) code = ErrorCode::kPermission;
  if (answer.status == 429 || answer.status >= 500) code = ErrorCode::kUnavailable;
  std::string text = std::string(method) + " " + std::string(target.substr(0, target.find('?'))) +
                     ": " + std::to_string(answer.status);
  if (!status.reason.empty()) text += " " + status.reason;
  if (!status.message.empty()) text += ": " + status.message;
  return {.code = code, .sys_errno = 0, .context = std::move(text)};
}

ApiClient::ApiClient(Http& http, Timers& timers, Credentials credentials, Random random,
                     Options options)
    : http_(http),
      timers_(timers),
      credentials_(std::move(credentials)),
      random_(std::move(random)),
      options_(options) {}

ApiClient::~ApiClient() {
  for (const auto& [id, exchange] : exchanges_) {
    http_.cancel(exchange->http);
    timers_.cancel(exchange->timer);
    timers_.cancel(exchange->last_call);
  }
}

HttpId ApiClient::start(const ApiCall& call, HttpHandlers handlers) {
  const size_t server = server_;
  const auto identity = credentials_.current();
  metrics_.credential_reloads = credentials_.reloads();
  if (credentials_.problem() != told_problem_) {
    told_problem_ = credentials_.problem();
    if (!told_problem_.empty())
      spdlog::warn("credentials: {}; going on with those of before", told_problem_);
  }
  HttpRequest request{.method = call.method,
                      .url = credentials_.servers()[server] + call.target,
                      .headers = {"Accept: " + call.accept, "User-Agent: sluice-operator"},
                      .body = call.body,
                      .identity = identity,
                      .connect_timeout = options_.connect_timeout,
                      .idle_timeout = call.idle_timeout,
                      .repeatable = is_repeatable(call)};
  if (!call.content_type.empty()) request.headers.push_back("Content-Type: " + call.content_type);
  if (!identity->token.empty())
    request.headers.push_back("Authorization: Bearer " + identity->token);
  HttpHandlers noted;
  noted.head = [this, server, head = std::move(handlers.head)](const HttpHead& value) {
    note_head(server, value);
    if (head) head(value);
  };
  noted.body = std::move(handlers.body);
  noted.end = [this, server, end = std::move(handlers.end)](const HttpEnd& value) {
    note_end(server, value);
    if (end) end(value);
  };
  return http_.start(std::move(request), std::move(noted));
}

void ApiClient::note_head(size_t server, const HttpHead& head) {
  metrics_.requests[std::to_string(head.status)]++;
  if (head.status == 401) credentials_.distrust();
  if (head.status >= 500) leave(server);
}

void ApiClient::note_end(size_t server, const HttpEnd& end) {
  if (end.status) return;
  metrics_.requests[outcome_of(end)]++;
  // The client's certificate may have been replaced together with its key, and we read between.
  if (end.status.error().code == ErrorCode::kPermission) credentials_.distrust();
  leave(server);
}

void ApiClient::leave(size_t server) {
  const auto& servers = credentials_.servers();
  if (server != server_ || servers.size() == 1) return;  // others have left it already
  server_ = (server_ + 1) % servers.size();
  metrics_.failovers++;
  spdlog::warn("API server {} fails: going on with {}", servers[server], servers[server_]);
}

void ApiClient::request(ApiCall call, OnAnswer on_answer) {
  auto exchange =
      std::make_shared<Exchange>(Exchange{.id = ++last_exchange_,
                                          .call = std::move(call),
                                          .on_answer = std::move(on_answer),
                                          .backoff = Backoff(options_.backoff, random_),
                                          .deadline = timers_.now() + options_.deadline});
  exchanges_[exchange->id] = exchange;
  exchange->last_call =
      timers_.after(options_.deadline, [this, id = exchange->id] { give_up(id); });
  try_once(exchange);
}

void ApiClient::try_once(const std::shared_ptr<Exchange>& exchange) {
  exchange->head = {};
  exchange->body.clear();
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(exchange->deadline - timers_.now());
  exchange->call.idle_timeout =
      std::max(std::min(exchange->call.idle_timeout, left), std::chrono::milliseconds(1));
  // Raw: the handlers are cancelled before the exchange goes.
  Exchange* raw = exchange.get();
  exchange->http = start(
      exchange->call,
      {.head = [raw](const HttpHead& head) { raw->head = head; },
       .body =
           [raw](std::string_view bytes) {
             raw->too_long = raw->too_long || raw->body.size() + bytes.size() > kMaxAnswerBytes;
             if (!raw->too_long) raw->body.append(bytes);
           },
       .end = [this, raw](const HttpEnd& end) { conclude(exchanges_.at(raw->id), end); }});
}

bool ApiClient::may_repeat(const Exchange& exchange, const HttpEnd& end) const {
  const int status = exchange.head.status;
  if (status != 0 && end.status) {
    if (status == 429) return true;
    if (status == 401) return !exchange.refused_once;
    return status >= 500 && is_repeatable(exchange.call);
  }
  return !end.sent || is_repeatable(exchange.call);
}

// The deadline passed, with a try under way (also one whose answer trickles in) or before the next.
void ApiClient::give_up(uint64_t id) {
  const auto exchange = exchanges_.extract(id).mapped();
  http_.cancel(exchange->http);
  timers_.cancel(exchange->timer);
  std::string text = exchange->call.method + " " + exchange->call.target +
                     ": no whole answer within " + std::to_string(options_.deadline.count()) +
                     " ms";
  if (!exchange->failure.empty()) text += "; the try before: " + exchange->failure;
  if (exchange->http != 0 && exchange->call.method != "GET") text += kMayBeDone;
  exchange->on_answer(fail(ErrorCode::kTimeout, std::move(text)));
}

// By value: it leaves the table on the way.
void ApiClient::conclude(std::shared_ptr<Exchange> exchange, const HttpEnd& end) {
  exchange->http = 0;
  const bool answered = end.status && exchange->head.status != 0;
  const bool failed = !answered || exchange->head.status == 401 || exchange->head.status == 429 ||
                      exchange->head.status >= 500;
  if (failed && may_repeat(*exchange, end)) {
    const auto asked = std::min(exchange->head.retry_after, kLongestRetryAfter);
    const auto wait = std::max<std::chrono::milliseconds>(exchange->backoff.next(), asked);
    exchange->refused_once = exchange->refused_once || exchange->head.status == 401;
    if (timers_.now() + wait < exchange->deadline) {
      metrics_.retries++;
      exchange->failure =
          answered ? std::to_string(exchange->head.status) : end.status.error().message();
      exchange->timer = timers_.after(wait, [this, exchange] { try_once(exchange); });
      return;
    }
  }
  exchanges_.erase(exchange->id);
  timers_.cancel(exchange->last_call);
  const std::string what = exchange->call.method + " " + exchange->call.target;
  if (exchange->too_long) {
    return exchange->on_answer(
        fail(ErrorCode::kInvalid,
             what + ": the answer has more than " + std::to_string(kMaxAnswerBytes) + " bytes"));
  }
  if (answered) {
    return exchange->on_answer(ApiAnswer{.status = exchange->head.status,
                                         .content_type = exchange->head.content_type,
                                         .body = std::move(exchange->body)});
  }
  Error error = end.status ? Error{.code = ErrorCode::kUnavailable, .context = what + ": no answer"}
                           : end.status.error();
  if (end.sent && exchange->call.method != "GET") error.context += kMayBeDone;
  exchange->on_answer(fail(std::move(error)));
}

}  // namespace sluice
