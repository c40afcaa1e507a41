// SPDX-License-Identifier: Apache-2.0
// Intent as sorted lists: finding in them, and bringing them up to date.
#include "operator/resolve/intent.h"

#include <algorithm>
#include <iterator>

namespace sluice {
namespace {

// What objects are sorted by, without a copy.
using PodView = std::pair<std::string_view, std::string_view>;

std::string_view view_of(const NodeIntent& node) {
  return node.name;
}
std::string_view view_of(std::string_view name) {
  return name;
}
PodView view_of(const PodIntent& pod) {
  return {pod.namespace_name, pod.name};
}
PodView view_of(const PodKey& key) {
  return {key.first, key.second};
}
constexpr auto kLess = [](const auto& a, const auto& b) { return view_of(a) < view_of(b); };

// So many are put in or taken out one by one; more (a first delta, another folder) in one pass.
constexpr size_t kFew = 8;

template <class List, class Key>
auto find(List& list, const Key& key) {
  const auto at = std::lower_bound(list.begin(), list.end(), key, kLess);
  return at != list.end() && view_of(*at) == view_of(key) ? at : list.end();
}

template <class T, class Key>
bool remove(const std::vector<Key>& keys, std::vector<T>& list) {
  const size_t before = list.size();
  if (keys.size() > kFew) {
    std::erase_if(list, [&](const T& object) {
      return std::binary_search(keys.begin(), keys.end(), object, kLess);
    });
  } else {
    for (const Key& key : keys) {
      if (const auto at = find(list, key); at != list.end()) list.erase(at);
    }
  }
  return list.size() != before;
}

template <class T>
bool upsert(const std::vector<std::shared_ptr<const T>>& objects, std::vector<T>& list) {
  bool changed = false;
  std::vector<T> fresh;
  for (const auto& object : objects) {
    const auto at = find(list, *object);
    if (at == list.end()) {
      fresh.push_back(*object);
    } else if (*at != *object) {
      *at = *object;
      changed = true;
    }
  }
  if (fresh.empty()) return changed;
  if (fresh.size() <= kFew) {
    for (T& object : fresh)
      list.insert(std::lower_bound(list.begin(), list.end(), object, kLess), std::move(object));
    return true;
  }
  const auto middle = static_cast<std::ptrdiff_t>(list.size());
  std::move(fresh.begin(), fresh.end(), std::back_inserter(list));
  std::inplace_merge(list.begin(), list.begin() + middle, list.end(), kLess);
  return true;
}

template <class T>
std::vector<std::shared_ptr<const T>> shared(const std::vector<T>& objects) {
  std::vector<std::shared_ptr<const T>> result;
  result.reserve(objects.size());
  for (const T& object : objects) result.push_back(std::make_shared<const T>(object));
  return result;
}

}  // namespace

PodKey key_of(const PodIntent& pod) {
  return {pod.namespace_name, pod.name};
}

const NodeIntent* find_node(const Intent& intent, std::string_view name) {
  const auto at = find(intent.nodes, name);
  return at == intent.nodes.end() ? nullptr : &*at;
}

const PodIntent* find_pod(const Intent& intent, std::string_view namespace_name,
                          std::string_view name) {
  const auto at = std::lower_bound(
      intent.pods.begin(), intent.pods.end(), PodView(namespace_name, name),
      [](const PodIntent& pod, const PodView& wanted) { return view_of(pod) < wanted; });
  return at != intent.pods.end() && view_of(*at) == PodView(namespace_name, name) ? &*at : nullptr;
}

IntentDelta everything(const Intent& intent) {
  IntentDelta delta;
  delta.revision = intent.revision;
  delta.nodes = shared(intent.nodes);
  delta.pods = shared(intent.pods);
  return delta;
}

bool apply(const IntentDelta& delta, Intent& intent) {
  bool changed = remove(delta.removed_nodes, intent.nodes);
  changed = upsert(delta.nodes, intent.nodes) || changed;
  changed = remove(delta.removed_pods, intent.pods) || changed;
  changed = upsert(delta.pods, intent.pods) || changed;
  intent.revision = delta.revision;
  return changed;
}

}  // namespace sluice
