// SPDX-License-Identifier: Apache-2.0
// The control stream's authorities and this replica's certificate.
#include "operator/certify/certifier.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace sluice {
namespace {

constexpr const char* kSecrets = "secrets";
constexpr const char* kConfigMaps = "configmaps";
constexpr std::chrono::milliseconds kRaceWait{100};

std::string folder_of(const ObjectName& name, const char* kind) {
  return "/api/v1/namespaces/" + name.namespace_name + "/" + kind;
}

std::string path_of(const ObjectName& name, const char* kind) {
  return folder_of(name, kind) + "/" + name.name;
}

}  // namespace

Certifier::Certifier(ApiClient& api, Timers& timers, Settings settings, Hooks hooks)
    : api_(api),
      timers_(timers),
      settings_(std::move(settings)),
      hooks_(std::move(hooks)),
      backoff_(settings_.backoff, hooks_.random) {}

Certifier::~Certifier() {
  timers_.cancel(timer_);
}

void Certifier::look() {
  if (busy_) {
    again_ = true;
    return;
  }
  busy_ = true;
  timers_.cancel(std::exchange(timer_, 0));
  ask({.target = path_of(settings_.secret, kSecrets)}, &Certifier::take_secret);
}

void Certifier::ask(ApiCall call, Take take) {
  api_.request(std::move(call),
               [this, weak = std::weak_ptr(alive_), take](const Result<ApiAnswer>& answer) {
                 if (weak.expired()) return;
                 if (!answer) return finish(answer.error().message());
                 (this->*take)(*answer);
               });
}

void Certifier::put(const ObjectName& name, const char* kind, std::string body, bool is_new,
                    Take take) {
  ask({.method = is_new ? "POST" : "PUT",
       .target = is_new ? folder_of(name, kind) : path_of(name, kind),
       .content_type = "application/json",
       .body = std::move(body)},
      take);
}

void Certifier::take_secret(const ApiAnswer& answer) {
  if (answer.status == 404) {
    if (hooks_.leads()) return make_secret({}, "");
    return finish("Secret " + settings_.secret.namespace_name + "/" + settings_.secret.name +
                  " is not there yet: the leader makes it");
  }
  if (!answer.good())
    return finish(error_of("GET", path_of(settings_.secret, kSecrets), answer).message());
  auto authorities = parse_authorities(answer.body, settings_.secret);
  if (!authorities) return finish(authorities.error().message());
  if (hooks_.leads()) return make_secret(*authorities, answer.body);
  take_authorities(std::move(*authorities));
}

// Writes what is due; goes on at once where nothing is.
void Certifier::make_secret(const Authorities& before, std::string_view object) {
  auto renewed = renew(before, settings_.times, hooks_.now());
  if (!renewed) return finish(renewed.error().message());
  if (*renewed == before) return take_authorities(std::move(*renewed));
  spdlog::info("control stream: {} authorities were trusted, {} from now on", before.list.size(),
               renewed->list.size());
  put(settings_.secret, kSecrets, authorities_body(object, settings_.secret, *renewed),
      object.empty(), &Certifier::take_written);
}

// What the server says it has now counts, not what we sent.
void Certifier::take_written(const ApiAnswer& answer) {
  if (answer.status == 409) return lost_race();
  if (!answer.good())
    return finish(error_of("write", path_of(settings_.secret, kSecrets), answer).message());
  auto authorities = parse_authorities(answer.body, settings_.secret);
  if (!authorities) return finish(authorities.error().message());
  take_authorities(std::move(*authorities));
}

void Certifier::take_authorities(Authorities authorities) {
  authorities_ = std::move(authorities);
  if (auto certified = certify(); !certified) return finish(certified.error().message());
  if (!hooks_.leads()) return finish("");
  ask({.target = path_of(settings_.config_map, kConfigMaps)}, &Certifier::take_config_map);
}

Status Certifier::certify() {
  if (!pair_.certificate_pem.empty()) {
    const auto due = is_due(pair_, authorities_, settings_.times, hooks_.now());
    if (!due) return fail(due.error());
    if (!*due) return {};
  }
  auto pair = issue(authorities_, settings_.times, hooks_.now());
  if (!pair) return fail(pair.error());
  const auto life = validity(pair->certificate_pem);
  if (!life) return fail(life.error());
  if (auto used = hooks_.use(*pair); !used) return used;
  pair_ = std::move(*pair);
  life_ = *life;
  spdlog::info("control stream: this replica has a new certificate");
  return {};
}

void Certifier::take_config_map(const ApiAnswer& answer) {
  const bool is_new = answer.status == 404;
  if (!is_new && !answer.good())
    return finish(error_of("GET", path_of(settings_.config_map, kConfigMaps), answer).message());
  const std::string pem = bundle(authorities_);
  const std::string object = is_new ? "" : answer.body;
  if (published_bundle(object) == pem) return finish("");
  put(settings_.config_map, kConfigMaps, bundle_body(object, settings_.config_map, pem), is_new,
      &Certifier::take_published);
}

void Certifier::take_published(const ApiAnswer& answer) {
  if (answer.status == 409) return lost_race();
  if (!answer.good())
    return finish(error_of("write", path_of(settings_.config_map, kConfigMaps), answer).message());
  finish("");
}

void Certifier::finish(std::string problem) {
  busy_ = false;
  if (!problem.empty() && problem != problem_) spdlog::warn("certificates: {}", problem);
  problem_ = std::move(problem);
  if (std::exchange(again_, false)) return look();
  if (!problem_.empty()) return wait(backoff_.next());
  backoff_.reset();
  // Not all replicas at once.
  wait(settings_.poll - std::chrono::milliseconds(static_cast<int64_t>(
                            static_cast<double>(settings_.poll.count()) * 0.2 * hooks_.random())));
}

// Somebody else wrote meanwhile: what they wrote counts.
void Certifier::lost_race() {
  busy_ = false;
  again_ = false;
  wait(kRaceWait);
}

void Certifier::wait(std::chrono::milliseconds delay) {
  timer_ = timers_.after(delay, [this] { look(); });
}

}  // namespace sluice
