// SPDX-License-Identifier: Apache-2.0
// Ages conntrack and translation rows: walks the tables a piece at a time and has the expired
// swept.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bpf/abi/ct.h"
#include "lib/result/result.h"

namespace sluice {

struct SharedMaps;

// Seconds of silence after which a row of this protocol (IPPROTO_*) and state (CT_STATE_*) expires.
uint32_t timeout_seconds(const ct_timeouts& timeouts, uint8_t proto, uint8_t state);

struct AgeCounts {
  size_t ct_seen = 0;
  size_t ct_removed = 0;
  size_t nat_seen = 0;
  size_t nat_removed = 0;    // translations whose flow is gone
  bool end_of_pass = false;  // both tables have been walked once since the last end

  AgeCounts& operator+=(const AgeCounts& other);
};

// Thread: the control loop.
class ConntrackAger {
 public:
  // Loads ct_sweep on the shared maps.
  static Result<std::unique_ptr<ConntrackAger>> open(SharedMaps& maps, const ct_timeouts& timeouts);
  ~ConntrackAger();
  ConntrackAger(const ConntrackAger&) = delete;
  ConntrackAger& operator=(const ConntrackAger&) = delete;

  // Looks at about `budget` rows (at least one bucket) from where the last step ended: 4096 take
  // about two milliseconds. A pass of both tables ends with end_of_pass; the next step starts anew.
  Result<AgeCounts> step(size_t budget = 4096);

 private:
  struct State;
  explicit ConntrackAger(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sluice
