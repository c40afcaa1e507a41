// SPDX-License-Identifier: Apache-2.0
#include "agent/flows/selector.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace sluice {

namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t';
}
bool is_value(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
}
bool is_key(char c) {
  return is_value(c) || c == '/' || c == ':';
}

struct LabelParts {
  std::string_view source;
  std::string_view key;
  std::string_view value;
};

// "source:key=value"; the key may hold dots and slashes, never a colon or an equals sign.
LabelParts split_label(std::string_view label) {
  LabelParts parts;
  const size_t equals = label.find('=');
  std::string_view name = label.substr(0, equals);
  if (equals != std::string_view::npos) parts.value = label.substr(equals + 1);
  const size_t colon = name.find(':');
  if (colon != std::string_view::npos) {
    parts.source = name.substr(0, colon);
    name.remove_prefix(colon + 1);
  }
  parts.key = name;
  return parts;
}

}  // namespace

class SelectorParser {
 public:
  using Requirement = LabelSelector::Requirement;
  using Operator = LabelSelector::Operator;

  explicit SelectorParser(std::string_view text) : text_(text) {}

  Result<LabelSelector> parse() {
    LabelSelector selector;
    skip_space();
    if (at_end()) return selector;
    for (;;) {
      auto requirement = parse_requirement();
      if (!requirement) return fail(requirement.error());
      selector.requirements_.push_back(std::move(*requirement));
      skip_space();
      if (at_end()) return selector;
      if (!take(",")) return error("expected ','");
    }
  }

 private:
  bool at_end() const { return at_ == text_.size(); }
  void skip_space() {
    while (!at_end() && is_space(text_[at_])) ++at_;
  }
  bool take(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  template <class Accept>
  std::string_view take_while(Accept accept) {
    const size_t begin = at_;
    while (!at_end() && accept(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  tl::unexpected<Error> error(std::string_view what) const {
    return fail(ErrorCode::kInvalid, "label selector \"" + std::string(text_) +
                                         "\": " + std::string(what) + " at column " +
                                         std::to_string(at_ + 1));
  }

  Result<Requirement> parse_requirement() {
    Requirement requirement;
    skip_space();
    const bool absent = take("!");
    skip_space();
    const std::string_view key = take_while(is_key);
    const LabelParts parts = split_label(key);
    if (parts.key.empty()) return error("expected a label key");
    if (parts.key.find(':') != std::string_view::npos) return error("a key has one source at most");
    requirement.key = parts.key;
    if (parts.source != "any") requirement.source = parts.source;
    skip_space();
    if (absent) {
      requirement.op = Operator::kAbsent;
      return requirement;
    }
    return parse_operator(std::move(requirement));
  }

  Result<Requirement> parse_operator(Requirement requirement) {
    if (at_end() || text_[at_] == ',') return requirement;
    if (take("!=")) return parse_value(std::move(requirement), Operator::kNotIn);
    if (take("==") || take("=")) return parse_value(std::move(requirement), Operator::kIn);
    const size_t begin = at_;
    const std::string_view word = take_while(is_value);
    if (word == "in") return parse_set(std::move(requirement), Operator::kIn);
    if (word == "notin") return parse_set(std::move(requirement), Operator::kNotIn);
    at_ = begin;
    return error("expected '=', '!=', 'in' or 'notin'");
  }

  Result<Requirement> parse_value(Requirement requirement, Operator op) {
    skip_space();
    requirement.op = op;
    requirement.values.emplace_back(take_while(is_value));
    return requirement;
  }

  Result<Requirement> parse_set(Requirement requirement, Operator op) {
    requirement.op = op;
    skip_space();
    if (!take("(")) return error("expected '('");
    for (;;) {
      skip_space();
      requirement.values.emplace_back(take_while(is_value));
      skip_space();
      if (take(")")) return requirement;
      if (!take(",")) return error("expected ',' or ')'");
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  return SelectorParser(text).parse();
}

bool LabelSelector::matches(std::span<const std::string> labels) const {
  return std::all_of(requirements_.begin(), requirements_.end(),
                     [&](const Requirement& requirement) { return holds(requirement, labels); });
}

bool LabelSelector::holds(const Requirement& requirement, std::span<const std::string> labels) {
  bool present = false;
  bool listed = false;
  for (const std::string& label : labels) {
    const LabelParts parts = split_label(label);
    if (parts.key != requirement.key) continue;
    if (!requirement.source.empty() && parts.source != requirement.source) continue;
    present = true;
    listed = listed || std::find(requirement.values.begin(), requirement.values.end(),
                                 parts.value) != requirement.values.end();
  }
  switch (requirement.op) {
    case Operator::kExists:
      return present;
    case Operator::kAbsent:
      return !present;
    case Operator::kIn:
      return listed;
    case Operator::kNotIn:
      return !listed;
  }
  return false;
}

}  // namespace sluice
