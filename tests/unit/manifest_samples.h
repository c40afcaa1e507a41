// SPDX-License-Identifier: Apache-2.0
// Manifests as texts, and results in a form that a failed expectation shows.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "operator/source/changes.h"
#include "operator/source/objects.h"

namespace sluice {

inline std::string pod_text(const std::string& name, const std::string& rest = "") {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: demo}\n" + rest;
}

template <class T>
void follow(const T& object, bool removed, std::vector<T>& list) {
  std::erase_if(list, [&](const T& other) {
    if constexpr (requires { other.namespace_name; }) {
      if (other.namespace_name != object.namespace_name) return false;
    }
    return other.name == object.name;
  });
  if (!removed) list.push_back(object);
  std::ranges::sort(list, {}, &T::name);
}

// Brings `objects` up to date; by name.
inline void follow(const std::vector<ObjectChange>& changes, Objects& objects) {
  for (const ObjectChange& change : changes) {
    if (const auto* node = std::get_if<NodeObject>(&change.object))
      follow(*node, change.removed, objects.nodes);
    if (const auto* space = std::get_if<NamespaceObject>(&change.object))
      follow(*space, change.removed, objects.namespaces);
    if (const auto* pod = std::get_if<PodObject>(&change.object))
      follow(*pod, change.removed, objects.pods);
  }
}

inline std::vector<std::string> names(const Objects& objects) {
  std::vector<std::string> result;
  for (const auto& pod : objects.pods) result.push_back(pod.name);
  return result;
}

inline std::vector<std::string> texts(const std::vector<SourceProblem>& problems) {
  std::vector<std::string> result;
  for (const auto& problem : problems) result.push_back(to_string(problem));
  return result;
}

}  // namespace sluice
