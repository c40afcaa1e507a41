// SPDX-License-Identifier: Apache-2.0
// What the agent holds of its span.
#include "agent/control/held_intent.h"

#include <utility>

#include "operator/stream/codec.h"

namespace sluice {
namespace {

// The difference between what was held and what a snapshot names is what is gone.
template <class Key, class Object, class KeyOf>
bool drop_unnamed(std::map<Key, Object>& held, const std::map<Key, std::optional<Object>>& named,
                  const StreamUpdate& update, const KeyOf& key_of) {
  return std::erase_if(held, [&](const auto& each) {
           if (named.contains(each.first)) return false;
           const std::string key = key_of(each.first);
           return update.snapshot[bucket_of(key)] && !update.unreadable.contains(key);
         }) > 0;
}

template <class Key, class Object>
bool take(std::map<Key, Object>& held, std::map<Key, std::optional<Object>>& changes) {
  bool changed = false;
  for (auto& [key, object] : changes) {
    if (!object) {
      changed = held.erase(key) > 0 || changed;
      continue;
    }
    const auto [place, is_new] = held.try_emplace(key);
    if (!is_new && place->second == *object) continue;
    place->second = std::move(*object);
    changed = true;
  }
  return changed;
}

}  // namespace

HeldIntent::HeldIntent(const Intent& intent) {
  for (const NodeIntent& node : intent.nodes) nodes_[node.name] = node;
  for (const PodIntent& pod : intent.pods) pods_[{pod.namespace_name, pod.name}] = pod;
}

bool HeldIntent::apply(StreamUpdate update) {
  bool changed = false;
  if (update.snapshot.any()) {
    changed = drop_unnamed(nodes_, update.nodes, update, node_key);
    changed = drop_unnamed(pods_, update.pods, update, pod_key) || changed;
    std::erase_if(unreadable_,
                  [&](const auto& each) { return update.snapshot[bucket_of(each.first)]; });
  }
  for (const auto& [name, node] : update.nodes) unreadable_.erase(node_key(name));
  for (const auto& [name, pod] : update.pods) unreadable_.erase(pod_key(name));
  changed = take(nodes_, update.nodes) || changed;
  changed = take(pods_, update.pods) || changed;
  for (auto& [key, fault] : update.unreadable) unreadable_[key] = std::move(fault);
  return changed;
}

Digest HeldIntent::digest() const {
  Digest digest;
  const auto add = [&](const Record& record) { digest.add(record.bucket, record.hash); };
  for (const auto& [name, node] : nodes_) add(encode(node));
  for (const auto& [key, pod] : pods_) add(encode(pod));
  return digest;
}

Intent HeldIntent::intent() const {
  Intent intent;
  intent.nodes.reserve(nodes_.size());
  intent.pods.reserve(pods_.size());
  for (const auto& [name, node] : nodes_) intent.nodes.push_back(node);
  for (const auto& [key, pod] : pods_) intent.pods.push_back(pod);
  return intent;
}

std::vector<ObjectFault> HeldIntent::faults() const {
  std::vector<ObjectFault> faults;
  for (const auto& [key, fault] : unreadable_) faults.push_back(fault);
  return faults;
}

}  // namespace sluice
