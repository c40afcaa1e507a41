// SPDX-License-Identifier: Apache-2.0
#include "agent/admin/conditions.h"

#include <algorithm>
#include <utility>

namespace sluice {

Conditions::Conditions(std::function<int64_t()> unix_ms) : unix_ms_(std::move(unix_ms)) {}

bool Conditions::set(std::string_view name, bool ok, std::string_view message) {
  const std::lock_guard lock(mutex_);
  auto found = states_.find(name);
  if (found == states_.end()) {
    found = states_.emplace(std::string(name), ConditionState{.name = std::string(name)}).first;
    found->second.since_unix_ms = unix_ms_();
  } else if (found->second.ok != ok) {
    found->second.since_unix_ms = unix_ms_();
  }
  const bool changed = found->second.ok != ok || found->second.message != message;
  found->second.ok = ok;
  found->second.message = message;
  return changed;
}

std::vector<ConditionState> Conditions::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<ConditionState> result;
  result.reserve(states_.size());
  for (const auto& [name, state] : states_) result.push_back(state);
  return result;
}

bool Conditions::healthy() const {
  const std::lock_guard lock(mutex_);
  return !states_.empty() && std::all_of(states_.begin(), states_.end(),
                                         [](const auto& entry) { return entry.second.ok; });
}

}  // namespace sluice
