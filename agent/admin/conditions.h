// SPDX-License-Identifier: Apache-2.0
// What is right and wrong with this agent, by name: every part reports its own; status and /healthz
// read them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

struct ConditionState {
  std::string name;  // "intent", "datapath", "addresses", "events", ...
  bool ok = false;
  std::string message{};      // not ok: what is wrong, with which object, and the next step
  int64_t since_unix_ms = 0;  // when `ok` last changed; a new message alone does not move it

  bool operator==(const ConditionState&) const = default;
};

// Thread: any.
class Conditions {
 public:
  // unix_ms: the wall clock; called under the lock, so it must not call back.
  explicit Conditions(std::function<int64_t()> unix_ms);

  // Returns whether it differs from before.
  bool set(std::string_view name, bool ok, std::string_view message);
  // Sorted by name.
  std::vector<ConditionState> list() const;
  // False too while nobody has reported anything: silence is not health.
  bool healthy() const;

 private:
  std::function<int64_t()> unix_ms_;
  mutable std::mutex mutex_;
  std::map<std::string, ConditionState, std::less<>> states_;  // guarded by mutex_
};

}  // namespace sluice
