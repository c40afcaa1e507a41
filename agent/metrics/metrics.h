// SPDX-License-Identifier: Apache-2.0
// The agent's Prometheus metrics: counters that code counts up, and figures read from their owner
// at scrape time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prometheus {
class Registry;
class Collectable;
}  // namespace prometheus

namespace sluice {

struct HookVerdictCount {
  std::string hook;     // "pod_egress"
  std::string verdict;  // "forwarded"
  uint64_t packets = 0;
};

struct DropSeries {
  std::string device;
  std::string hook;
  std::string reason;  // "policy_deny"
  uint64_t packets = 0;
  uint64_t bytes = 0;
};

struct MapFill {
  std::string map;  // "sl_ct"
  uint64_t entries = 0;
  uint64_t max_entries = 0;
};

struct AddressRange {
  std::string cidr;
  uint64_t used = 0;
  uint64_t resting = 0;
  uint64_t free = 0;
};

struct LabelledCount {
  std::string label;
  uint64_t count = 0;
};

// Where a scrape reads from. Called on a metrics thread: each must be safe there. An empty one is
// left out.
struct MetricsSources {
  std::function<std::vector<HookVerdictCount>()> hooks;
  std::function<std::vector<DropSeries>()> drops;
  std::function<std::vector<MapFill>()> maps;
  std::function<std::vector<AddressRange>()> addresses;
  std::function<std::vector<LabelledCount>()> events;       // label: kind
  std::function<std::vector<LabelledCount>()> events_lost;  // label: cause
  std::function<uint64_t()> flows;
  std::function<uint64_t()> endpoints;
  std::function<uint64_t()> intent_problems;
  std::function<uint64_t()> address_exhausted;  // CNI requests, since the start
};

class Metrics {
 public:
  Metrics(MetricsSources sources, const std::string& version, const std::string& commit);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Any thread. code: of the CNI answer, 0 for success.
  void count_cni(std::string_view command, uint32_t code, std::chrono::nanoseconds took);
  void count_apply(bool ok, std::chrono::nanoseconds took);

  // All metrics in the text format 0.0.4. Any thread.
  std::string scrape() const;

 private:
  struct Counters;
  std::unique_ptr<prometheus::Registry> registry_;
  std::unique_ptr<prometheus::Collectable> sources_;
  std::unique_ptr<Counters> counters_;
};

}  // namespace sluice
