// SPDX-License-Identifier: Apache-2.0
// Which replica does what must be done by one only.
#include "operator/lead/election.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace sluice {
namespace {

constexpr double kJitter = 1.2;  // of waits between tries to become the leader
constexpr const char* kJson = "application/json";

}  // namespace

Election::Election(ApiClient& api, Timers& timers, Settings settings, Hooks hooks)
    : api_(api), timers_(timers), settings_(std::move(settings)), hooks_(std::move(hooks)) {}

Election::~Election() {
  timers_.cancel(retry_);
  timers_.cancel(guard_);
}

std::string Election::leases() const {
  return "/apis/coordination.k8s.io/v1/namespaces/" + settings_.namespace_name + "/leases";
}

void Election::start() {
  attempt();
}

bool Election::leads() const {
  return leading_ && timers_.now() < renewed_at_ + settings_.renew_deadline;
}

void Election::attempt() {
  if (stopped_) return;
  attempt_at_ = timers_.now();
  ask({.target = leases() + "/" + settings_.name}, &Election::take_lease);
}

void Election::ask(ApiCall call, Take take) {
  busy_ = true;
  api_.request(std::move(call),
               [this, weak = std::weak_ptr(alive_), take](const Result<ApiAnswer>& answer) {
                 if (weak.expired()) return;
                 busy_ = false;
                 if (released_) return take_last(answer);
                 if (stopped_) return;
                 if (!answer) return finish(answer.error().message());
                 (this->*take)(*answer);
               });
}

void Election::take_lease(const ApiAnswer& answer) {
  if (answer.status == 404) {
    const std::string now = now_text();
    return write("POST", leases(),
                 new_lease_body(settings_.namespace_name, settings_.name,
                                {.holder = settings_.identity,
                                 .duration_s = settings_.lease_duration.count(),
                                 .acquired = now,
                                 .renewed = now}));
  }
  if (!answer.good()) return finish(error_of("GET", leases(), answer).message());
  auto lease = parse_lease(answer.body);
  if (!lease) return finish(lease.error().message());
  observe(std::move(*lease));
  if (!is_free()) {
    // Also where it was ours and somebody took it.
    end_term(seen_.claim.holder + " has taken the Lease");
    return finish("");
  }
  write("PUT", leases() + "/" + settings_.name, lease_body(seen_, our_claim()));
}

// A claim counts from when we saw it change, whatever times are written in it.
void Election::observe(Lease lease) {
  if (!has_seen_ || !(lease.claim == seen_.claim)) seen_at_ = timers_.now();
  if (lease.claim.holder != seen_.claim.holder)
    spdlog::info("the leader is {}", lease.claim.holder.empty() ? "nobody" : lease.claim.holder);
  seen_ = std::move(lease);
  has_seen_ = true;
}

bool Election::is_free() const {
  if (seen_.claim.holder.empty() || seen_.claim.holder == settings_.identity) return true;
  return timers_.now() >= seen_at_ + std::chrono::seconds(seen_.claim.duration_s);
}

LeaseClaim Election::our_claim() const {
  LeaseClaim claim = seen_.claim;
  claim.renewed = now_text();
  claim.duration_s = settings_.lease_duration.count();
  if (claim.holder == settings_.identity) return claim;
  claim.holder = settings_.identity;
  claim.acquired = claim.renewed;
  ++claim.transitions;
  return claim;
}

void Election::write(const std::string& method, const std::string& target, std::string body) {
  ask({.method = method, .target = target, .content_type = kJson, .body = std::move(body)},
      &Election::take_write);
}

void Election::take_write(const ApiAnswer& answer) {
  // Somebody was faster, or a lost answer of ours was a success: the next look tells.
  if (answer.status == 409) return finish("");
  if (!answer.good()) return finish(error_of("write", leases(), answer).message());
  auto lease = parse_lease(answer.body);
  if (!lease) return finish(lease.error().message());
  observe(std::move(*lease));
  renewed_at_ = attempt_at_;
  begin_term();
  finish("");
}

void Election::begin_term() {
  timers_.cancel(guard_);
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      renewed_at_ + settings_.renew_deadline - timers_.now());
  if (left.count() <= 0) return end_term("the API server answered too late");
  guard_ = timers_.after(left, [this] { guard(); });
  if (std::exchange(leading_, true)) return;
  spdlog::info("this replica leads, as {}", settings_.identity);
  if (hooks_.on_lead) hooks_.on_lead();
}

void Election::guard() {
  guard_ = 0;
  end_term("the Lease could not be renewed for " +
           std::to_string(settings_.renew_deadline.count()) + " s" +
           (problem_.empty() ? "" : ": " + problem_));
}

void Election::end_term(const std::string& why) {
  timers_.cancel(std::exchange(guard_, 0));
  if (!std::exchange(leading_, false)) return;
  spdlog::warn("this replica leads no more: {}", why);
  if (hooks_.on_lost) hooks_.on_lost(why);
}

void Election::finish(std::string problem) {
  if (!problem.empty() && problem != problem_) spdlog::warn("leader election: {}", problem);
  problem_ = std::move(problem);
  auto wait = settings_.retry_period;
  if (!leading_) {
    wait += std::chrono::milliseconds(static_cast<int64_t>(
        static_cast<double>(settings_.retry_period.count()) * kJitter * hooks_.random()));
  }
  retry_ = timers_.after(wait, [this] { attempt(); });
}

void Election::release(std::function<void()> done) {
  const bool held = leads();
  timers_.cancel(std::exchange(retry_, 0));
  end_term("it is stopping");
  if (!held) {
    stopped_ = true;
    return done();
  }
  released_ = std::move(done);
  // What is under way may still change the Lease, and then nothing written now would fit it.
  if (!busy_) give_up();
}

void Election::take_last(const Result<ApiAnswer>& answer) {
  if (answer && answer->good()) {
    if (auto lease = parse_lease(answer->body)) seen_ = std::move(*lease);
  }
  give_up();
}

void Election::give_up() {
  const auto done = std::exchange(released_, nullptr);
  stopped_ = true;
  if (seen_.claim.holder != settings_.identity) return done();
  LeaseClaim free = seen_.claim;
  free.holder.clear();
  free.duration_s = 1;
  free.acquired = free.renewed = now_text();
  api_.request({.method = "PUT",
                .target = leases() + "/" + settings_.name,
                .content_type = kJson,
                .body = lease_body(seen_, free)},
               [done](const Result<ApiAnswer>& answer) {
                 if (!answer || !answer->good())
                   spdlog::warn("the Lease could not be given up: others wait for its end");
                 done();
               });
}

}  // namespace sluice
