// SPDX-License-Identifier: Apache-2.0
// Which replica does what must be done by one only: whoever holds the Lease. No clock but the local
// one decides; what other replicas wrote is only compared with what they wrote before.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "lib/backoff/backoff.h"
#include "lib/loop/timers.h"
#include "operator/lead/lease.h"
#include "operator/source/kube/api_client.h"

namespace sluice {

// Thread: the loop's. The hooks are called from the loop and do not destroy the election.
class Election {
 public:
  struct Settings {
    std::string namespace_name{};
    std::string name{};
    std::string identity{};  // of this process alone: two that share one would both lead
    std::chrono::seconds lease_duration{15};  // unchanged for so long, anybody may take it
    std::chrono::seconds renew_deadline{10};  // not renewed for so long, we lead no more
    std::chrono::milliseconds retry_period{2'000};
  };
  struct Hooks {
    std::function<void()> on_lead{};
    std::function<void(const std::string& why)> on_lost{};
    std::function<int64_t()> unix_us{};  // for the times that people read
    Random random{};
  };

  // api and timers outlive it. The deadline of api's requests should be well below the renew
  // deadline, so that there is time for a second try.
  Election(ApiClient& api, Timers& timers, Settings settings, Hooks hooks);
  ~Election();
  Election(const Election&) = delete;
  Election& operator=(const Election&) = delete;

  void start();
  // Gives the Lease up, so that another replica need not wait for its end. Leads no more from here
  // on; `done` is called once, whatever the API server does.
  void release(std::function<void()> done);

  // Right at this moment, also in a process that was stopped for a while.
  bool leads() const;
  const std::string& holder() const { return seen_.claim.holder; }  // as last seen
  const std::string& problem() const { return problem_; }           // of the last try; empty: none

 private:
  using Take = void (Election::*)(const ApiAnswer&);

  void attempt();
  void take_lease(const ApiAnswer& answer);
  void take_write(const ApiAnswer& answer);
  void observe(Lease lease);
  void write(const std::string& method, const std::string& target, std::string body);
  void ask(ApiCall call, Take take);
  void finish(std::string problem);
  void begin_term();
  void end_term(const std::string& why);
  void guard();
  void take_last(const Result<ApiAnswer>& answer);
  void give_up();
  LeaseClaim our_claim() const;
  bool is_free() const;
  std::string now_text() const { return micro_time(hooks_.unix_us()); }
  std::string leases() const;

  ApiClient& api_;
  Timers& timers_;
  const Settings settings_;
  const Hooks hooks_;

  Lease seen_{};
  Timers::Time seen_at_{};  // when the claim last changed
  bool has_seen_ = false;
  Timers::Time attempt_at_{};  // start of the try that is under way
  Timers::Time renewed_at_{};  // start of the last one that made the Lease ours
  bool leading_ = false;
  bool busy_ = false;  // a request of ours is under way
  bool stopped_ = false;
  std::function<void()> released_{};  // whom to tell once the Lease is given up
  TimerId retry_ = 0;
  TimerId guard_ = 0;  // of the renew deadline
  std::string problem_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // answers may come when we are gone
};

}  // namespace sluice
