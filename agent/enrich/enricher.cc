// SPDX-License-Identifier: Apache-2.0
#include "agent/enrich/enricher.h"

#include <cstring>
#include <ctime>
#include <utility>

namespace sluice {

namespace {

constexpr int64_t kClockPeriodNs = 10'000'000'000;

int64_t read_clock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

ClockReading read_clocks() {
  return {.monotonic_ns = read_clock(CLOCK_MONOTONIC), .unix_ns = read_clock(CLOCK_REALTIME)};
}

EnrichedFlow enrich(const flow_event& event, const Directory& directory, int64_t wall_offset_ns,
                    const std::array<uint8_t, 16>& uuid) {
  EnrichedFlow flow;
  flow.event = event;
  flow.time_unix_ns = static_cast<int64_t>(event.time_ns) + wall_offset_ns;
  flow.uuid = uuid;
  flow.source = directory.party(from_abi(event.src), event.src_identity);
  // A pod that is stopped at its own device is known by the device, whatever address it wrote.
  if (event.kind == EVENT_DROP && event.hook == HOOK_POD_EGRESS) {
    const auto sender = directory.pod_at(event.ifindex);
    if (sender && *sender != *flow.source) flow.source = sender;
  }
  flow.destination = directory.party(from_abi(event.dst), event.dst_identity);
  flow.device = directory.device(event.ifindex);
  return flow;
}

Enricher::Enricher(std::shared_ptr<const Directory> directory, std::function<ClockReading()> clocks,
                   uint64_t seed)
    : directory_(std::move(directory)),
      clocks_(std::move(clocks)),
      reading_(clocks_()),
      random_(seed) {}

void Enricher::publish(std::shared_ptr<const Directory> directory) {
  std::shared_ptr<const Directory> old;  // dies outside the lock: it may hold thousands of parties
  const std::scoped_lock lock(mutex_);
  old = std::exchange(directory_, std::move(directory));
}

std::shared_ptr<const Directory> Enricher::directory() const {
  const std::scoped_lock lock(mutex_);
  return directory_;
}

EnrichedFlow Enricher::enrich(const flow_event& event) {
  if (static_cast<int64_t>(event.time_ns) - reading_.monotonic_ns > kClockPeriodNs)
    reading_ = clocks_();
  std::array<uint8_t, 16> uuid{};
  const uint64_t random[2] = {random_(), random_()};
  std::memcpy(uuid.data(), random, sizeof(random));
  uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0f) | 0x40);  // RFC 9562: version 4
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3f) | 0x80);  // and its variant
  return sluice::enrich(event, *directory(), reading_.unix_ns - reading_.monotonic_ns, uuid);
}

}  // namespace sluice
