// SPDX-License-Identifier: Apache-2.0
// What the agent holds of its span.
#include "agent/control/held_intent.h"

#include <algorithm>
#include <utility>

#include "operator/stream/codec.h"

namespace sluice {
namespace {

template <class Key, class Object>
using Held = std::map<Key, std::shared_ptr<const Object>>;

// The difference between what was held and what a snapshot names is what is gone.
template <class Key, class Object, class KeyOf>
void drop_unnamed(Held<Key, Object>& held, const std::map<Key, std::optional<Object>>& named,
                  const StreamUpdate& update, const KeyOf& key_of, std::vector<Key>& removed) {
  std::erase_if(held, [&](const auto& each) {
    if (named.contains(each.first)) return false;
    const std::string key = key_of(each.first);
    const bool gone = update.snapshot[bucket_of(key)] && !update.unreadable.contains(key);
    if (gone) removed.push_back(each.first);
    return gone;
  });
}

template <class Key, class Object>
void take(Held<Key, Object>& held, std::map<Key, std::optional<Object>>& changes,
          std::vector<std::shared_ptr<const Object>>& changed, std::vector<Key>& removed) {
  for (auto& [key, object] : changes) {
    if (!object) {
      if (held.erase(key) > 0) removed.push_back(key);
      continue;
    }
    auto& place = held[key];
    if (place && *place == *object) continue;
    place = std::make_shared<const Object>(std::move(*object));
    changed.push_back(place);
  }
  std::sort(removed.begin(), removed.end());
}

}  // namespace

HeldIntent::HeldIntent(const Intent& intent) {
  const IntentDelta all = everything(intent);
  for (const auto& node : all.nodes) nodes_[node->name] = node;
  for (const auto& pod : all.pods) pods_[key_of(*pod)] = pod;
}

IntentDelta HeldIntent::apply(StreamUpdate update) {
  IntentDelta delta;
  if (update.snapshot.any()) {
    drop_unnamed(nodes_, update.nodes, update, node_key, delta.removed_nodes);
    drop_unnamed(pods_, update.pods, update, pod_key, delta.removed_pods);
    std::erase_if(unreadable_,
                  [&](const auto& each) { return update.snapshot[bucket_of(each.first)]; });
  }
  for (const auto& [name, node] : update.nodes) unreadable_.erase(node_key(name));
  for (const auto& [name, pod] : update.pods) unreadable_.erase(pod_key(name));
  take(nodes_, update.nodes, delta.nodes, delta.removed_nodes);
  take(pods_, update.pods, delta.pods, delta.removed_pods);
  for (auto& [key, fault] : update.unreadable) unreadable_[key] = std::move(fault);
  return delta;
}

Digest HeldIntent::digest() const {
  Digest digest;
  const auto add = [&](const Record& record) { digest.add(record.bucket, record.hash); };
  for (const auto& [name, node] : nodes_) add(encode(*node));
  for (const auto& [key, pod] : pods_) add(encode(*pod));
  return digest;
}

Intent HeldIntent::intent() const {
  Intent intent;
  intent.nodes.reserve(nodes_.size());
  intent.pods.reserve(pods_.size());
  for (const auto& [name, node] : nodes_) intent.nodes.push_back(*node);
  for (const auto& [key, pod] : pods_) intent.pods.push_back(*pod);
  return intent;
}

std::vector<ObjectFault> HeldIntent::faults() const {
  std::vector<ObjectFault> faults;
  for (const auto& [key, fault] : unreadable_) faults.push_back(fault);
  return faults;
}

}  // namespace sluice
