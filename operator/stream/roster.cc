// SPDX-License-Identifier: Apache-2.0
// The streams that are open.
#include "operator/stream/roster.h"

#include <utility>

#include "operator/stream/agent_stream.h"

namespace sluice {

void Roster::expect(std::shared_ptr<AgentStream> stream) {
  const std::lock_guard lock(mutex_);
  AgentStream* key = stream.get();
  guests_[key] = {
      .stream = std::move(stream), .arrived = std::chrono::steady_clock::now(), .node = {}};
}

std::shared_ptr<AgentStream> Roster::admit(const std::string& node, AgentStream* stream) {
  const std::lock_guard lock(mutex_);
  const auto guest = guests_.find(stream);
  if (guest == guests_.end()) return nullptr;  // it left meanwhile
  guest->second.node = node;
  AgentStream*& place = by_node_[node];
  AgentStream* before = std::exchange(place, stream);
  return before == nullptr ? nullptr : guests_.at(before).stream;
}

void Roster::leave(AgentStream* stream) {
  std::shared_ptr<AgentStream> last;  // goes after the lock
  const std::lock_guard lock(mutex_);
  const auto guest = guests_.find(stream);
  if (guest == guests_.end()) return;
  last = std::move(guest->second.stream);
  const auto place = by_node_.find(guest->second.node);
  if (place != by_node_.end() && place->second == stream) by_node_.erase(place);
  guests_.erase(guest);
}

Roster::Streams Roster::all() const {
  const std::lock_guard lock(mutex_);
  Streams streams;
  streams.reserve(by_node_.size());
  for (const auto& [node, stream] : by_node_) streams.push_back(guests_.at(stream).stream);
  return streams;
}

Roster::Streams Roster::of(const std::set<std::string>& nodes) const {
  const std::lock_guard lock(mutex_);
  Streams streams;
  for (const std::string& node : nodes) {
    const auto place = by_node_.find(node);
    if (place != by_node_.end()) streams.push_back(guests_.at(place->second).stream);
  }
  return streams;
}

Roster::Streams Roster::overdue(std::chrono::steady_clock::time_point arrived_before) const {
  const std::lock_guard lock(mutex_);
  Streams streams;
  for (const auto& [key, guest] : guests_) {
    if (guest.node.empty() && guest.arrived < arrived_before) streams.push_back(guest.stream);
  }
  return streams;
}

size_t Roster::admitted() const {
  const std::lock_guard lock(mutex_);
  return by_node_.size();
}

bool Roster::empty() const {
  const std::lock_guard lock(mutex_);
  return guests_.empty();
}

}  // namespace sluice
