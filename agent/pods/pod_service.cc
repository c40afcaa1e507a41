// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/pod_service.h"

#include <algorithm>
#include <utility>

#include "agent/pods/pod_reply.h"
#include "agent/pods/pod_waiter.h"
#include "lib/boot/boot.h"

namespace sluice {

using cni::v1::CniRequest;
using cni::v1::CniResponse;

PodService::PodService(asio::io_context& loop, PodSettings settings, PodHooks hooks)
    : loop_(loop),
      settings_(std::move(settings)),
      hooks_(std::move(hooks)),
      table_(settings_.state_dir, settings_.address_rest),
      queue_({settings_.queue_dir, settings_.spare_queue_dir}),
      leak_timer_(loop),
      queue_timer_(loop) {
  boot_unix_ms_ = now_ms() - since_boot_ms();
}

PodService::~PodService() {
  stop();
}

Result<RestoreReport> PodService::start() {
  Result<Netlink> host = Netlink::open();
  if (!host) return fail(within("pods", host.error()));
  host_.emplace(std::move(*host));
  Result<RestoreReport> report = table_.restore(*host_, rest_now_ms());
  if (!report) return fail(within("restore the pods", report.error()));
  store_condition_ = report->condition;
  save_condition_ = report->save_failure;
  if (!save_condition_.empty()) ++counters_.save_failures;
  writer_.emplace(loop_, table_.store(),
                  [this](uint64_t number, const Status& status) { saved(number, status); });
  publish();
  replay_queue();
  repeat(leak_timer_, settings_.leak_interval, &PodService::release_leaks);
  repeat(queue_timer_, settings_.queue_interval, &PodService::replay_queue);
  return report;
}

void PodService::stop() {
  leak_timer_.cancel();
  queue_timer_.cancel();
  stopped_ = true;
  // What waits is made and saved: the runtime asks again and gets it from the next agent.
  for (const auto& waiter : std::exchange(waiters_, {})) {
    waiter->timer.cancel();
    waiter->reply(
        refusal(cni::v1::CNI_TRY_AGAIN_LATER, "sluice-agent is stopping; it is tried again"));
  }
}

void PodService::handle(const CniRequest& request, Reply reply) {
  Reply counted = [this, answer = std::move(reply)](const CniResponse& response) {
    if (response.error_code() != 0) ++counters_.failures;
    answer(response);
  };
  const std::string& command = request.command();
  if (command == "STATUS") return status(counted);
  if (stopped_) {
    return counted(
        refusal(cni::v1::CNI_TRY_AGAIN_LATER, "sluice-agent is stopping; it is tried again"));
  }
  if (request.network().empty()) {
    return counted(refusal(cni::v1::CNI_INVALID_CONFIG, "name: the request names no network"));
  }
  if (command == "GC") return collect_garbage(request, counted);
  if (request.container_id().empty() || request.ifname().empty() || request.ifname().size() > 15) {
    return counted(refusal(
        cni::v1::CNI_INVALID_ENVIRONMENT,
        "CNI_CONTAINERID and CNI_IFNAME: both are needed, CNI_IFNAME of at most 15 characters"));
  }
  if (command == "ADD") return add(request, std::move(counted));
  if (command == "DEL") return del(request, counted);
  if (command == "CHECK") return check(request, counted);
  counted(refusal(cni::v1::CNI_INVALID_ENVIRONMENT,
                  "CNI_COMMAND: '" + command + "' is not known to sluice-agent"));
}

void PodService::wait_for_rows(const EndpointKey& key, Reply reply) {
  const auto waiter = std::make_shared<Waiter>(loop_, key, std::move(reply));
  waiter->revision = publish();
  waiter->save = save_wanted_;
  waiter->timer.expires_after(settings_.apply_deadline);
  waiter->timer.async_wait([this, key, waiter](const asio::error_code& cancelled) {
    if (cancelled || std::ranges::find(waiters_, waiter) == waiters_.end()) return;
    const std::string why = "the kernel did not get the rows of " + to_string(key) + " within " +
                            std::to_string(settings_.apply_deadline.count()) +
                            " ms; see `sluice status`";
    refuse_waiters(key, refusal(cni::v1::CNI_TRY_AGAIN_LATER, why));
    undo_unanswered(key, why);
  });
  waiters_.push_back(waiter);
  finish_waiters();
}

void PodService::applied(uint64_t revision, const std::map<uint32_t, std::string>& failed) {
  applied_revision_ = std::max(applied_revision_, revision);
  failed_ = failed;
  finish_waiters();
}

void PodService::finish_waiters() {
  // A reply may start another request, so each turn looks at the list anew.
  while (true) {
    const auto ready = std::ranges::find_if(waiters_, [&](const auto& waiter) {
      return waiter->revision <= applied_revision_ && waiter->save <= save_done_;
    });
    if (ready == waiters_.end()) return;
    const std::shared_ptr<Waiter> waiter = std::move(*ready);
    waiters_.erase(ready);
    waiter->timer.cancel();
    const LocalEndpoint* endpoint = table_.find(waiter->key);
    if (endpoint == nullptr) {
      waiter->reply(
          refusal(cni::v1::CNI_TRY_AGAIN_LATER, to_string(waiter->key) + " was removed meanwhile"));
      continue;
    }
    if (const auto failure = failed_.find(endpoint->ifindex); failure != failed_.end()) {
      const std::string why = "rows of " + to_string(waiter->key) + ": " + failure->second;
      undo_unanswered(waiter->key, why);
      waiter->reply(refusal(cni::v1::CNI_KERNEL_REFUSED, why));
      continue;
    }
    unanswered_.erase(waiter->key);
    waiter->reply(result_of(*endpoint));
  }
}

void PodService::save() {
  save_wanted_ = writer_->submit(table_.state());
}

void PodService::saved(uint64_t number, const Status& saved) {
  const std::string before =
      std::exchange(save_condition_, saved ? std::string() : saved.error().message());
  if (!saved) {
    ++counters_.save_failures;
    // What is not remembered must not be handed out: a restart would give its address away.
    std::vector<EndpointKey> lost;
    for (const auto& waiter : waiters_) {
      if (waiter->save <= number && unanswered_.contains(waiter->key)) lost.push_back(waiter->key);
    }
    for (const EndpointKey& key : lost) {
      refuse_waiters(key, refusal(cni::v1::CNI_IO_FAILURE, "remember " + to_string(key),
                                  saved.error().message()));
      undo_unanswered(key, "it could not be remembered");
    }
  }
  if (save_condition_ != before && hooks_.on_conditions_changed) hooks_.on_conditions_changed();
  save_done_ = std::max(save_done_, number);
  finish_waiters();
}

void PodService::refuse_waiters(const EndpointKey& key, const CniResponse& answer) {
  std::vector<std::shared_ptr<Waiter>> refused;
  std::erase_if(waiters_, [&](const auto& waiter) {
    if (waiter->key != key) return false;
    refused.push_back(waiter);
    return true;
  });
  for (const auto& waiter : refused) {
    waiter->timer.cancel();
    waiter->reply(answer);
  }
}

void PodService::undo_unanswered(const EndpointKey& key, const std::string& why) {
  if (!unanswered_.contains(key)) return;
  const Status removed = remove_endpoint(key, why);
  if (!removed)
    save_condition_ = "undo ADD of " + to_string(key) + ": " + removed.error().message();
  publish();
}

Status PodService::remove_endpoint(const EndpointKey& key, const std::string& why) {
  refuse_waiters(key, refusal(cni::v1::CNI_TRY_AGAIN_LATER, to_string(key) + ": " + why));
  LocalEndpoint gone;
  if (const LocalEndpoint* endpoint = table_.find(key)) {
    gone = *endpoint;
  } else {
    // Not in the table: there may be a device of an attempt that a crash cut short.
    gone.network = key.network;
    gone.container_id = key.container_id;
    gone.ifname = key.ifname;
    gone.host_device = host_device_name(key);
  }
  if (Status removed = remove_pod_link(*host_, gone); !removed) return removed;
  unanswered_.erase(key);
  table_.erase(key, rest_now_ms());
  save();
  return {};
}

uint64_t PodService::publish() {
  return hooks_.on_endpoints_changed ? hooks_.on_endpoints_changed() : applied_revision_;
}

int64_t PodService::now_ms() const {
  if (hooks_.now_unix_ms) return hooks_.now_unix_ms();
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

int64_t PodService::rest_now_ms() const {
  return boot_unix_ms_ + since_boot_ms();
}

std::vector<LocalEndpoint> PodService::endpoints() const {
  std::vector<LocalEndpoint> all;
  for (const auto& [key, endpoint] : table_.all()) all.push_back(endpoint);
  std::ranges::sort(all, {}, &LocalEndpoint::ifindex);
  return all;
}

}  // namespace sluice
