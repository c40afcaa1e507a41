// SPDX-License-Identifier: Apache-2.0
// What happens to pods without a request: ranges and MTU change, leaks are released, queued DELs
// are replayed.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "agent/pods/pod_reply.h"
#include "agent/pods/pod_service.h"
#include "lib/boot/boot.h"

namespace sluice {
namespace {

// Why a queued DEL is not for this endpoint, if it is not. An ADD that came after it made a new
// attachment. Devices do not outlive the kernel, so every endpoint is of this boot.
std::string not_for(const cni::v1::CniRequest& request, const LocalEndpoint& endpoint) {
  if (std::string why = other_uid(request, endpoint); !why.empty()) return why;
  if (endpoint.created_boot_ms == 0 || request.queued_boot_id().empty()) return {};
  const bool older =
      request.queued_boot_id() != boot_id() || request.queued_boot_ms() < endpoint.created_boot_ms;
  return older ? "an ADD of " + to_string(key_of(endpoint)) + " came after it; nothing was removed"
               : std::string();
}

}  // namespace

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
  say_reserved();
}

void PodService::set_reserved(std::vector<Address> addresses) {
  table_.pools().set_reserved(std::move(addresses));
  say_reserved();
}

void PodService::say_reserved() {
  const std::vector<Address> inside = table_.pools().reserved_in_ranges();
  if (inside == reserved_said_) return;
  reserved_said_ = inside;
  std::string names;
  for (const Address& each : inside) names += (names.empty() ? "" : ", ") + to_string(each);
  if (names.empty()) return;
  spdlog::warn(
      "spec.podCIDRs of Node {} hold {}, this host's own or a router's: no pod gets them; choose "
      "ranges that nothing else uses",
      settings_.node_name, names);
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
  const auto before = conditions();
  leak_condition_.clear();
  bool changed = false;
  const auto links = host_->links();
  if (!links) leak_condition_ = "look for leaked endpoints: " + links.error().message();
  for (const LocalEndpoint& endpoint :
       links ? table_.find_leaks(*links) : std::vector<LocalEndpoint>()) {
    const EndpointKey key = key_of(endpoint);
    if (Status removed = remove_endpoint(key, "its device is gone"); !removed) {
      leak_condition_ = "release " + to_string(key) + ": " + removed.error().message();
      continue;
    }
    changed = true;
    ++counters_.leaks_released;
    spdlog::warn("pod {}: its device {} went away without a DEL; its addresses are free again",
                 to_string(key), endpoint.host_device);
  }
  if (changed) publish();
  tell_changes(before);
}

void PodService::replay_queue() {
  const auto before = conditions();
  replay_condition_ = replay();
  if (!save_condition_.empty()) save();
  tell_changes(before);
}

std::string PodService::replay() {
  std::string failures;
  bool changed = false;
  for (const QueuedDel& entry : queue_.read()) {
    const EndpointKey key = key_of(entry.request);
    const LocalEndpoint* endpoint = table_.find(key);
    const bool known = endpoint != nullptr;
    Status done;
    if (const std::string why = known ? not_for(entry.request, *endpoint) : std::string();
        !why.empty()) {
      spdlog::warn("queued DEL {}: {}", entry.path, why);
    } else {
      done = remove_endpoint(key, "a queued DEL came for it");
      changed = changed || (known && done);
    }
    if (done) done = queue_.remove(entry);
    if (done) {
      ++counters_.queue_replayed;
    } else {
      failures += (failures.empty() ? "queued DEL of " : "; queued DEL of ") + to_string(key) +
                  ": " + done.error().message();
    }
  }
  if (changed) publish();
  return failures;
}

void PodService::tell_changes(const std::vector<std::string>& before) {
  const auto now = conditions();
  if (now == before) return;
  for (const std::string& each : now) {
    if (std::ranges::find(before, each) == before.end()) spdlog::warn("{}", each);
  }
  if (hooks_.on_conditions_changed) hooks_.on_conditions_changed();
}

std::vector<PoolStats> PodService::pools() const {
  return table_.pools().stats(rest_now_ms());
}

std::vector<std::string> PodService::conditions() const {
  std::vector<std::string> all;
  for (const std::string* each : {&store_condition_, &save_condition_, &leak_condition_,
                                  &replay_condition_, &queue_.condition()}) {
    if (!each->empty()) all.push_back(*each);
  }
  return all;
}

}  // namespace sluice
