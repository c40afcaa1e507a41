// SPDX-License-Identifier: Apache-2.0
// The last N flows in memory. One writer (the event reader's thread), any number of readers that
// follow by number.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/enrich/flow.h"

namespace sluice {

struct LostEvents {
  uint64_t count = 0;
  int64_t first_unix_ns = 0;
  int64_t last_unix_ns = 0;
};

// Exactly one of the two is set.
struct FlowEntry {
  std::shared_ptr<const EnrichedFlow> flow;
  std::shared_ptr<const LostEvents> lost;  // the kernel's ring was full
};

struct FlowBatch {
  std::vector<FlowEntry> entries;
  uint64_t next = 0;     // number to go on from
  uint64_t skipped = 0;  // entries that were overwritten before this reader came to them
};

struct FlowStats {
  uint64_t stored = 0;
  uint64_t capacity = 0;
  uint64_t seen = 0;      // flows since the start
  double per_second = 0;  // over the last minute, or since the start where that is shorter
};

// Memory: at most `capacity` entries of about 300 bytes (4095: 1.2 MB) plus the parties that they
// still share with the directory. A reader holds no queue of its own: one that is too slow finds
// its place overwritten and is told how much it missed.
class FlowLog {
 public:
  using Clock = std::function<int64_t()>;  // wall clock, Unix ns
  static constexpr size_t kCapacityDefault = 4095;

  explicit FlowLog(size_t capacity = kCapacityDefault, Clock clock = unix_now);

  void add(EnrichedFlow flow);  // one thread at a time
  void add_lost(uint64_t count);

  uint64_t oldest() const;
  uint64_t next() const;  // number that the next entry will get
  // At most `max` entries from number `from` on.
  FlowBatch read(uint64_t from, size_t max) const;
  // Waits until entry `from` exists; false after `timeout` or when `stop` is requested.
  bool wait(uint64_t from, std::chrono::milliseconds timeout, const std::stop_token& stop) const;

  FlowStats stats() const;
  // Namespaces with a flow in the last hour, sorted.
  std::vector<std::string> namespaces() const;

  static int64_t unix_now();

 private:
  static constexpr size_t kRateSeconds = 60;

  void push(FlowEntry entry);
  void count_rate(int64_t now_ns);
  void see_namespace(const std::string& name, int64_t now_ns);

  const Clock clock_;
  const int64_t started_unix_ns_;
  mutable std::mutex mutex_;
  mutable std::condition_variable_any changed_;
  // Guarded by mutex_:
  std::vector<FlowEntry> ring_;
  uint64_t next_ = 0;
  uint64_t seen_ = 0;
  std::array<uint32_t, kRateSeconds> rate_counts_{};  // by second modulo 60
  std::array<int64_t, kRateSeconds> rate_seconds_{};  // which second a count is of
  std::map<std::string, int64_t> namespaces_;         // last seen
};

}  // namespace sluice
