// SPDX-License-Identifier: Apache-2.0
// The join: decoded event + snapshot of who is where -> EnrichedFlow.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>

#include "agent/enrich/directory.h"
#include "agent/enrich/flow.h"

namespace sluice {

// Pure join. wall_offset_ns: wall clock minus CLOCK_MONOTONIC. uuid: unique per flow event. Thread:
// any.
EnrichedFlow enrich(const flow_event& event, const Directory& directory, int64_t wall_offset_ns,
                    const std::array<uint8_t, 16>& uuid);

struct ClockReading {
  int64_t monotonic_ns = 0;
  int64_t unix_ns = 0;
};
ClockReading read_clocks();

// Holds what the join needs besides the event. enrich() is the event reader's thread only,
// publish() any.
class Enricher {
 public:
  // clocks: both clocks at one instant; asked again when an event is 10 s newer than the last
  // reading, so that a step of the wall clock shows within that time.
  explicit Enricher(std::shared_ptr<const Directory> directory,
                    std::function<ClockReading()> clocks = read_clocks,
                    uint64_t seed = std::random_device{}());

  void publish(std::shared_ptr<const Directory> directory);
  std::shared_ptr<const Directory> directory() const;
  EnrichedFlow enrich(const flow_event& event);

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Directory> directory_;  // guarded by mutex_
  std::function<ClockReading()> clocks_;        // the rest: reader's thread
  ClockReading reading_;
  std::mt19937_64 random_;
};

}  // namespace sluice
