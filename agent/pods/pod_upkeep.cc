// SPDX-License-Identifier: Apache-2.0
// What happens to pods without a request: ranges and MTU change, leaks are released, queued DELs
// are replayed.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "agent/pods/pod_reply.h"
#include "agent/pods/pod_service.h"

namespace sluice {

void PodService::repeat(asio::steady_timer& timer, std::chrono::milliseconds interval,
                        void (PodService::*work)()) {
  timer.expires_after(interval);
  timer.async_wait([this, &timer, interval, work](const asio::error_code& cancelled) {
    if (cancelled || stopped_) return;
    (this->*work)();
    repeat(timer, interval, work);
  });
}

void PodService::set_pod_cidrs(std::span<const Prefix> pod_cidrs) {
  if (std::ranges::equal(pod_cidrs, ranges_)) return;
  ranges_.assign(pod_cidrs.begin(), pod_cidrs.end());
  table_.pools().set_ranges(pod_cidrs);
}

std::vector<std::string> PodService::set_pod_mtu(uint32_t mtu, uint32_t route_mtu) {
  const PodMtu before = mtu_;
  mtu_ = {.device = mtu, .route = route_mtu};
  std::vector<std::string> failures;
  // Also the first time: the uplink may have changed while no agent ran. What fits already costs a
  // look.
  if (before.device == mtu && before.route == route_mtu) return failures;
  for (const auto& [key, endpoint] : table_.all()) {
    const Status updated =
        update_pod_mtu(*host_, endpoint, mtu_of(endpoint, before), mtu_of(endpoint, mtu_));
    if (!updated) failures.push_back("MTU of " + to_string(key) + ": " + updated.error().message());
  }
  return failures;
}

void PodService::release_leaks() {
  const auto links = host_->links();
  if (!links) {
    upkeep_condition_ = "look for leaked endpoints: " + links.error().message();
    return;
  }
  const std::vector<LocalEndpoint> leaks = table_.find_leaks(*links);
  for (const LocalEndpoint& endpoint : leaks) {
    const EndpointKey key = key_of(endpoint);
    if (!remove_endpoint(key, "its device is gone")) continue;
    ++counters_.leaks_released;
    spdlog::warn("pod {}: its device {} went away without a DEL; its addresses are free again",
                 to_string(key), endpoint.host_device);
  }
  if (!leaks.empty()) publish();
}

void PodService::replay_queue() {
  const auto queue = queue_.read();
  if (!queue) {
    upkeep_condition_ = queue.error().message();
    return;
  }
  upkeep_condition_.clear();
  bool changed = false;
  for (const QueuedDel& entry : *queue) {
    const EndpointKey key = key_of(entry.request);
    const LocalEndpoint* endpoint = table_.find(key);
    // An ADD that came after the DEL was queued made a new attachment; the DEL is not for that one.
    const bool superseded = endpoint != nullptr && endpoint->created_unix_ms > entry.queued_unix_ms;
    if (!superseded) {
      if (Status removed = remove_endpoint(key, "a queued DEL came for it"); !removed) {
        upkeep_condition_ = "queued DEL of " + to_string(key) + ": " + removed.error().message();
        continue;
      }
      changed = changed || endpoint != nullptr;
    }
    if (Status removed = queue_.remove(entry); !removed) {
      upkeep_condition_ = removed.error().message();
      continue;
    }
    ++counters_.queue_replayed;
  }
  if (changed) publish();
}

std::vector<PoolStats> PodService::pools() const {
  return table_.pools().stats(rest_now_ms());
}

std::vector<std::string> PodService::conditions() const {
  std::vector<std::string> all;
  for (const std::string* each :
       {&store_condition_, &save_condition_, &upkeep_condition_, &queue_.condition()}) {
    if (!each->empty()) all.push_back(*each);
  }
  return all;
}

}  // namespace sluice
