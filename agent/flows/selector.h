// SPDX-License-Identifier: Apache-2.0
// Kubernetes label selectors over the labels of a flow's end.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/result/result.h"

namespace sluice {

class LabelSelector {
 public:
  // Grammar: selector = [requirement *("," requirement)]; requirement = key | "!" key | key ("=" |
  // "==" | "!=") value | key ("in" | "notin") "(" value *("," value) ")". A key may carry a source:
  // "k8s:app"; without one, or with "any:", it matches a label of every source. An empty selector
  // matches all. Errors: kInvalid with the text and the place.
  static Result<LabelSelector> parse(std::string_view text);

  // labels: "source:key=value" or "source:key". != and notin also match where the key is absent, as
  // in Kubernetes.
  bool matches(std::span<const std::string> labels) const;

 private:
  enum class Operator : uint8_t { kExists, kAbsent, kIn, kNotIn };
  struct Requirement {
    std::string source;  // empty: any
    std::string key;
    Operator op = Operator::kExists;
    std::vector<std::string> values;
  };
  friend class SelectorParser;

  static bool holds(const Requirement& requirement, std::span<const std::string> labels);

  std::vector<Requirement> requirements_;
};

}  // namespace sluice
