// SPDX-License-Identifier: Apache-2.0
// Keeps what is known of one kind equal to what the API server has.
//
//   list page by page -> watch from its version
//   the server ended the watch   -> watch from the last version
//   loss, refusal                -> is its history still ours? -> watch from the last version
//   410, history that went back  -> list again; what did not change is not handed on
#include "operator/source/kube/reflector.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "operator/source/kube/answers.h"

namespace sluice {
namespace {

constexpr size_t kMaxPageBytes = 256U << 20;
constexpr std::chrono::seconds kLongestRetryAfter{300};

}  // namespace

Reflector::Reflector(Parts parts, KindSpec spec, Timing timing, Sink sink)
    : api_(parts.api),
      timers_(parts.timers),
      random_(parts.random),
      spec_(std::move(spec)),
      timing_(timing),
      sink_(std::move(sink)),
      store_(spec_.make_store(parts.pools)),
      backoff_(timing.backoff, parts.random) {
  metrics_.last_heard = timers_.now();
}

Reflector::~Reflector() {
  stop_request();
}

void Reflector::stop_request() {
  api_.cancel(std::exchange(http_, 0));
  timers_.cancel(std::exchange(timer_, 0));
}

std::chrono::milliseconds Reflector::lag() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(timers_.now() - metrics_.last_heard);
}

std::vector<SourceProblem> Reflector::problems() const {
  std::vector<SourceProblem> all;
  for (const auto& [key, trouble] : troubles_)
    all.insert(all.end(), trouble.problems.begin(), trouble.problems.end());
  return all;
}

void Reflector::go(Step step, std::chrono::milliseconds wait) {
  timer_ = timers_.after(wait, [this, step] {
    timer_ = 0;
    (this->*step)();
  });
}

void Reflector::retry(Step step, Failure failure) {
  stop_request();
  metrics_.restarts[failure.reason]++;
  metrics_.last_error = failure.detail;
  // Many clients are sent away at once: they do not come back at once.
  const auto asked = std::min<std::chrono::milliseconds>(failure.wait, kLongestRetryAfter);
  const auto spread = std::chrono::milliseconds(
      static_cast<int64_t>(static_cast<double>(asked.count()) * 0.25 * random_()));
  const auto wait = std::max(backoff_.next(), asked + spread);
  spdlog::warn("{}: {} ({}); next try in {} ms", spec_.kind, failure.detail, failure.reason,
               wait.count());
  go(step, wait);
}

// One answer as a whole, to `take`; where none comes, `on_loss` is the next step.
void Reflector::ask(const std::string& query, void (Reflector::*take)(const ApiAnswer&),
                    Step on_loss) {
  answer_ = {};
  retry_after_ = std::chrono::seconds(0);
  const ApiCall call{.target = spec_.path + "?" + query,
                     .accept = std::string(accept_type(spec_.encoding, false)),
                     .idle_timeout = timing_.list_silence};
  http_ =
      api_.start(call, {.head =
                            [this](const HttpHead& head) {
                              answer_.status = head.status;
                              answer_.content_type = head.content_type;
                              retry_after_ = head.retry_after;
                            },
                        .body =
                            [this, on_loss](std::string_view bytes) {
                              if (answer_.body.size() + bytes.size() > kMaxPageBytes)
                                return retry(on_loss, {"too-long", "a page has more than 256 MiB"});
                              answer_.body.append(bytes);
                            },
                        .end =
                            [this, take, on_loss](const HttpEnd& end) {
                              http_ = 0;
                              timers_.cancel(std::exchange(timer_, 0));
                              if (!end.status) {
                                return retry(on_loss, {end.silent ? "idle" : "connection",
                                                       end.status.error().message()});
                              }
                              (this->*take)(std::exchange(answer_, {}));
                            }});
  timer_ = timers_.after(timing_.page_time, [this, on_loss] {
    timer_ = 0;
    retry(on_loss, {"slow", spec_.path + ": no whole page in " +
                                std::to_string(timing_.page_time.count()) + " ms"});
  });
}

void Reflector::take_refusal(const ApiAnswer& answer, Step again) {
  const ApiStatus status = status_of(answer);
  const auto asked = std::max(retry_after_, std::chrono::seconds(status.retry_after_seconds));
  // 404: the kind is gone, which is for a list to say.
  const bool list = answer.status == 410 || answer.status == 404 || is_version_too_large(status);
  retry(list ? &Reflector::list_first : again,
        {is_version_too_large(status) ? "history" : reason_of(answer.status),
         error_of("GET", spec_.path, answer).message(), asked});
}

void Reflector::list_first() {
  round_++;
  continue_token_.clear();
  nameless_ = false;
  list_wanted_ = false;
  list_page();
}

void Reflector::list_page() {
  std::string query = "limit=" + std::to_string(timing_.page_limit);
  if (!continue_token_.empty()) query += "&continue=" + escaped(continue_token_);
  // A page that is lost is asked for again: those before it stay good until its token expires.
  ask(query, &Reflector::take_page, &Reflector::list_page);
}

void Reflector::take_page(const ApiAnswer& answer) {
  if (answer.status == 404 && spec_.optional) return take_absent();
  if (!answer.good()) return take_refusal(answer, &Reflector::list_page);
  auto page = parse_list(spec_.encoding, answer.body);
  if (!page) {
    metrics_.decode_errors++;
    return retry(&Reflector::list_first, {"decode", page.error().message()});
  }
  metrics_.pages++;
  std::vector<ObjectChange> changes;
  for (const std::string& item : page->items) take_object(decode(item), changes);
  hand_on(std::move(changes));
  continue_token_ = page->continue_token;
  resource_version_ = page->resource_version;
  if (!continue_token_.empty()) return list_page();
  finish_list();
}

void Reflector::finish_list() {
  // An object without a name may be any of those that the list seems to lack.
  if (!nameless_) {
    std::erase_if(troubles_, [&](const auto& entry) { return entry.second.round != round_; });
    hand_on(store_->erase_older(round_));
  }
  metrics_.lists++;
  metrics_.last_heard = timers_.now();
  metrics_.last_error.clear();
  backoff_.reset();
  if (!std::exchange(metrics_.synced, true) && sink_.synced) sink_.synced();
  watch();
}

// The definition of the kind is not there, so there are no objects of it.
void Reflector::take_absent() {
  hand_on(store_->erase_older(++round_));
  troubles_.clear();
  metrics_.last_heard = timers_.now();
  metrics_.restarts["absent"]++;
  metrics_.last_error = spec_.path + ": the API server does not know this kind";
  if (!std::exchange(metrics_.synced, true) && sink_.synced) sink_.synced();
  go(&Reflector::list_first, timing_.absent_retry);
}

void Reflector::watch() {
  answer_ = {};
  retry_after_ = std::chrono::seconds(0);
  heard_ = false;
  decoder_ = std::make_unique<WatchDecoder>(spec_.encoding);
  const auto seconds =
      static_cast<int64_t>(static_cast<double>(timing_.watch_time.count()) * (1.0 + random_()));
  const ApiCall call{.target = spec_.path + "?watch=1&allowWatchBookmarks=true&resourceVersion=" +
                               escaped(resource_version_) +
                               "&timeoutSeconds=" + std::to_string(std::max<int64_t>(seconds, 1)),
                     .accept = std::string(accept_type(spec_.encoding, true)),
                     .idle_timeout = timing_.watch_silence};
  http_ = api_.start(call, {.head =
                                [this](const HttpHead& head) {
                                  answer_.status = head.status;
                                  answer_.content_type = head.content_type;
                                  retry_after_ = head.retry_after;
                                  if (!answer_.good()) return;
                                  metrics_.watches++;
                                  metrics_.last_error.clear();
                                },
                            .body =
                                [this](std::string_view bytes) {
                                  if (answer_.good()) return take_bytes(bytes);
                                  if (answer_.body.size() < 65536) answer_.body.append(bytes);
                                },
                            .end = [this](const HttpEnd& end) { end_watch(end); }});
}

void Reflector::take_bytes(std::string_view bytes) {
  decoder_->append(bytes);
  std::vector<ObjectChange> changes;
  bool goes_on = true;
  while (goes_on) {
    const auto event = decoder_->next();
    if (event && !*event) break;
    if (event) {
      goes_on = take_event(**event, changes);
    } else {
      metrics_.decode_errors++;
      list_wanted_ = true;  // whose event it was cannot be told
      spdlog::warn("{}: {}", spec_.kind, event.error().message());
      goes_on = !decoder_->lost();
      if (!goes_on) retry(&Reflector::list_first, {"stream", event.error().message()});
    }
  }
  hand_on(std::move(changes));
  if (goes_on && list_wanted_)
    retry(&Reflector::list_first, {"decode", "an event could not be read: listing again"});
}

// False: this watch is over, and what comes next is on its way.
bool Reflector::take_event(const WatchEvent& event, std::vector<ObjectChange>& changes) {
  if (event.type == EventType::kError) return take_error(event);
  const bool whole = event.type == EventType::kAdded || event.type == EventType::kModified;
  Decoded decoded;
  if (whole) {
    decoded = decode(event.object);
  } else {
    decoded.head = head_of(spec_.encoding, event.object);
  }
  if (!advance(decoded.head.resource_version)) return false;
  heard_ = true;
  backoff_.reset();
  metrics_.last_heard = timers_.now();
  metrics_.last_error.clear();
  if (event.type == EventType::kBookmark) {
    metrics_.bookmarks++;
    return true;
  }
  metrics_.events++;
  if (decoded.head.key.name.empty()) {  // whose event it was cannot be told
    metrics_.decode_errors += whole ? 0 : 1;
    list_wanted_ = true;
  }
  if (whole) {
    take_object(std::move(decoded), changes);
    return true;
  }
  troubles_.erase(decoded.head.key);
  auto gone = store_->erase(decoded.head.key);
  changes.insert(changes.end(), std::make_move_iterator(gone.begin()),
                 std::make_move_iterator(gone.end()));
  return true;
}

bool Reflector::take_error(const WatchEvent& event) {
  const auto status = parse_status(spec_.encoding, event.object);
  if (!status) {
    metrics_.decode_errors++;
    retry(&Reflector::check_history,
          {"stream", "an error of the server: " + status.error().message()});
    return false;
  }
  const bool too_large = is_version_too_large(*status);
  const bool list = status->code == 410 || too_large;
  retry(list ? &Reflector::list_first : &Reflector::check_history,
        {too_large ? "history" : reason_of(status->code),
         "the watch ends: " + std::to_string(status->code) + " " + status->reason + ": " +
             status->message,
         std::chrono::seconds(status->retry_after_seconds)});
  return false;
}

bool Reflector::advance(const std::string& resource_version) {
  if (resource_version.empty()) return true;
  if (is_older(resource_version, resource_version_)) {
    retry(&Reflector::list_first, {"history", "version " + resource_version + " comes after " +
                                                  resource_version_ + ": its history went back"});
    return false;
  }
  resource_version_ = resource_version;
  return true;
}

void Reflector::end_watch(const HttpEnd& end) {
  http_ = 0;
  if (!end.status) {
    return retry(&Reflector::check_history,
                 {end.silent ? "idle" : "connection", end.status.error().message()});
  }
  if (!answer_.good()) return take_refusal(std::exchange(answer_, {}), &Reflector::check_history);
  if (!heard_) return retry(&Reflector::watch, {"ended", "the watch ended without an event"});
  metrics_.restarts["ended"]++;
  watch();
}

// After a loss or a refusal the server may be another one, or its store an older one: a watch from
// a version that is not yet would leave out in silence all that happens up to it.
void Reflector::check_history() {
  ask("limit=1", &Reflector::take_history, &Reflector::check_history);
}

void Reflector::take_history(const ApiAnswer& answer) {
  if (!answer.good()) return take_refusal(answer, &Reflector::check_history);
  const auto page = parse_list(spec_.encoding, answer.body);
  if (!page) {
    metrics_.decode_errors++;
    return retry(&Reflector::list_first, {"decode", page.error().message()});
  }
  if (is_older(page->resource_version, resource_version_)) {
    return retry(&Reflector::list_first,
                 {"history", "the API server is at version " + page->resource_version +
                                 ", we have seen " + resource_version_});
  }
  watch();
}

Decoded Reflector::decode(std::string_view bytes) {
  Decoded decoded = spec_.decode(spec_.kind, bytes, arena_);
  arena_.Reset();
  return decoded;
}

void Reflector::take_object(Decoded decoded, std::vector<ObjectChange>& changes) {
  const ObjectKey& key = decoded.head.key;
  if (decoded.object) {
    troubles_.erase(key);
    if (store_->put(*decoded.object, round_))
      changes.push_back({.object = std::move(*decoded.object), .removed = false});
    return;
  }
  metrics_.decode_errors++;
  for (const SourceProblem& problem : decoded.problems)
    spdlog::warn("{}; what was known of it before stays", to_string(problem));
  if (key.name.empty()) {
    nameless_ = true;
    return;
  }
  store_->keep(key, round_);
  troubles_[key] = {.round = round_, .problems = std::move(decoded.problems)};
}

void Reflector::hand_on(std::vector<ObjectChange> changes) {
  metrics_.objects = store_->size();
  if (changes.empty()) return;
  metrics_.changes += changes.size();
  sink_.changes(std::move(changes));
}

}  // namespace sluice
