// SPDX-License-Identifier: Apache-2.0
#include "agent/flows/flow_log.h"

#include <algorithm>
#include <utility>

namespace sluice {

namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kNamespaceAgeNs = 3600 * kSecondNs;
constexpr size_t kNamespacesSweepAbove = 4096;

}  // namespace

FlowLog::FlowLog(size_t capacity, Clock clock)
    : clock_(std::move(clock)), started_unix_ns_(clock_()), ring_(std::max<size_t>(capacity, 1)) {}

int64_t FlowLog::unix_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void FlowLog::add(EnrichedFlow flow) {
  const int64_t now = clock_();
  auto shared = std::make_shared<const EnrichedFlow>(std::move(flow));
  FlowEntry overwritten;  // freed outside the lock
  {
    const std::scoped_lock lock(mutex_);
    ++seen_;
    count_rate(now);
    see_namespace(shared->source->namespace_name, now);
    see_namespace(shared->destination->namespace_name, now);
    FlowEntry& slot = ring_[next_++ % ring_.size()];
    overwritten = std::exchange(slot, FlowEntry{.flow = std::move(shared), .lost = nullptr});
  }
  changed_.notify_all();
}

void FlowLog::add_lost(uint64_t count) {
  const int64_t now = clock_();
  auto lost = std::make_shared<const LostEvents>(
      LostEvents{.count = count, .first_unix_ns = now, .last_unix_ns = now});
  FlowEntry overwritten;
  {
    const std::scoped_lock lock(mutex_);
    FlowEntry& slot = ring_[next_++ % ring_.size()];
    overwritten = std::exchange(slot, FlowEntry{.flow = nullptr, .lost = std::move(lost)});
  }
  changed_.notify_all();
}

void FlowLog::count_rate(int64_t now_ns) {
  const int64_t second = now_ns / kSecondNs;
  const auto slot = static_cast<size_t>(second) % kRateSeconds;
  if (rate_seconds_[slot] != second) {
    rate_seconds_[slot] = second;
    rate_counts_[slot] = 0;
  }
  ++rate_counts_[slot];
}

void FlowLog::see_namespace(const std::string& name, int64_t now_ns) {
  if (name.empty()) return;
  const bool is_new = namespaces_.insert_or_assign(name, now_ns).second;
  if (!is_new || namespaces_.size() <= kNamespacesSweepAbove) return;
  std::erase_if(namespaces_,
                [&](const auto& row) { return row.second < now_ns - kNamespaceAgeNs; });
}

uint64_t FlowLog::oldest() const {
  const std::scoped_lock lock(mutex_);
  return next_ - std::min<uint64_t>(next_, ring_.size());
}

uint64_t FlowLog::next() const {
  const std::scoped_lock lock(mutex_);
  return next_;
}

FlowBatch FlowLog::read(uint64_t from, size_t max) const {
  FlowBatch batch;
  batch.entries.reserve(max);
  const std::scoped_lock lock(mutex_);
  const uint64_t oldest = next_ - std::min<uint64_t>(next_, ring_.size());
  if (from < oldest) batch.skipped = oldest - from;
  batch.next = std::min(std::max(from, oldest), next_);
  while (batch.next < next_ && batch.entries.size() < max) {
    batch.entries.push_back(ring_[batch.next++ % ring_.size()]);
  }
  return batch;
}

bool FlowLog::wait(uint64_t from, std::chrono::milliseconds timeout,
                   const std::stop_token& stop) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, stop, timeout, [&] { return next_ > from; });
}

FlowStats FlowLog::stats() const {
  const int64_t now = clock_();
  const int64_t second = now / kSecondNs;
  FlowStats stats;
  const std::scoped_lock lock(mutex_);
  stats.stored = std::min<uint64_t>(next_, ring_.size());
  stats.capacity = ring_.size();
  stats.seen = seen_;
  uint64_t recent = 0;
  for (size_t i = 0; i < kRateSeconds; ++i) {
    if (rate_seconds_[i] > second - static_cast<int64_t>(kRateSeconds) &&
        rate_seconds_[i] <= second) {
      recent += rate_counts_[i];
    }
  }
  const double age = static_cast<double>(now - started_unix_ns_) / static_cast<double>(kSecondNs);
  stats.per_second =
      static_cast<double>(recent) / std::clamp(age, 1.0, static_cast<double>(kRateSeconds));
  return stats;
}

std::vector<std::string> FlowLog::namespaces() const {
  const int64_t since = clock_() - kNamespaceAgeNs;
  std::vector<std::string> names;
  const std::scoped_lock lock(mutex_);
  for (const auto& [name, seen] : namespaces_) {
    if (seen >= since) names.push_back(name);
  }
  return names;
}

}  // namespace sluice
