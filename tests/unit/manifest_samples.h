// SPDX-License-Identifier: Apache-2.0
// Manifests as texts, and results in a form that a failed expectation shows.
#pragma once

#include <string>
#include <vector>

#include "operator/source/objects.h"

namespace sluice {

inline std::string pod_text(const std::string& name, const std::string& rest = "") {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: demo}\n" + rest;
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
