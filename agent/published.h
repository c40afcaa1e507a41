// SPDX-License-Identifier: Apache-2.0
// What the control loop tells the other threads (metrics) about itself: a small value, replaced
// whole.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "agent/pods/ipam.h"

namespace sluice {

struct LoopFigures {
  std::vector<PoolStats> pools{};
  uint64_t endpoints = 0;
  uint64_t intent_problems = 0;
  uint64_t address_exhausted = 0;
};

// Thread: any.
class Published {
 public:
  void set(LoopFigures figures) {
    const std::lock_guard lock(mutex_);
    figures_ = std::move(figures);
  }
  LoopFigures get() const {
    const std::lock_guard lock(mutex_);
    return figures_;
  }

 private:
  mutable std::mutex mutex_;
  LoopFigures figures_;  // guarded by mutex_
};

}  // namespace sluice
