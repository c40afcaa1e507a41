// SPDX-License-Identifier: Apache-2.0
// Fields of one object of a manifest, read with their path and position.
#include "operator/source/manifests/document.h"

#include "lib/labels/labels.h"
#include "lib/utf8/utf8.h"
#include "operator/source/values.h"

namespace sluice {
namespace {

bool is_absent(const YAML::Node& node) {
  return !node.IsDefined() || node.IsNull();
}

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

}  // namespace

Origin origin_of(std::string_view file_name, const YAML::Node& node) {
  Origin origin{.file = std::string(file_name)};
  if (!node.IsDefined()) return origin;
  const YAML::Mark mark = node.Mark();
  if (mark.is_null()) return origin;
  origin.line = static_cast<uint32_t>(mark.line + 1);
  origin.column = static_cast<uint32_t>(mark.column + 1);
  return origin;
}

ObjectReader::ObjectReader(std::string_view file_name, const YAML::Node& root,
                           std::vector<SourceProblem>& problems)
    : file_name_(file_name),
      root_(root),
      origin_(origin_of(file_name, root)),
      problems_(problems) {}

void ObjectReader::set_object(std::string kind, std::string namespace_name, std::string name) {
  kind_ = std::move(kind);
  namespace_name_ = std::move(namespace_name);
  name_ = std::move(name);
}

void ObjectReader::report(const Field& field, std::string what) {
  failed_ = true;
  Origin origin = origin_of(file_name_, field.node);
  problems_.push_back({.origin = origin.line == 0 ? origin_ : origin,
                       .kind = kind_,
                       .namespace_name = namespace_name_,
                       .name = name_,
                       .field = field.path,
                       .what = std::move(what)});
}

Field ObjectReader::child(const Field& parent, const std::string& key) const {
  Field field{.node = YAML::Node(YAML::NodeType::Undefined),
              .path = parent.path.empty() ? key : parent.path + "." + key};
  if (parent.node.IsDefined() && parent.node.IsMap()) {
    const YAML::Node& map = parent.node;  // the const operator adds no key
    const YAML::Node found = map[key];
    if (found.IsDefined()) field.node.reset(found);
  }
  return field;
}

Field ObjectReader::mapping(const Field& parent, const std::string& key) {
  Field field = child(parent, key);
  if (!is_absent(field.node) && !field.node.IsMap()) report(field, "must be a mapping");
  return field;
}

std::vector<Field> ObjectReader::items(const Field& parent, const std::string& key) {
  const Field field = child(parent, key);
  std::vector<Field> result;
  if (is_absent(field.node)) return result;
  if (!field.node.IsSequence()) {
    report(field, "must be a list");
    return result;
  }
  for (const YAML::Node& item : field.node) {
    result.push_back(
        {.node = item, .path = field.path + "[" + std::to_string(result.size()) + "]"});
  }
  return result;
}

std::optional<std::string> ObjectReader::text(const Field& parent, const std::string& key) {
  const Field field = child(parent, key);
  if (is_absent(field.node)) return std::nullopt;
  if (!field.node.IsScalar()) {
    report(field, "must be a string");
    return std::nullopt;
  }
  if (!is_utf8(field.node.Scalar())) {
    report(field, quoted(field.node.Scalar()) + " is not UTF-8");
    return std::nullopt;
  }
  return field.node.Scalar();
}

bool ObjectReader::boolean(const Field& parent, const std::string& key) {
  const Field field = child(parent, key);
  if (is_absent(field.node)) return false;
  bool value = false;
  if (!field.node.IsScalar() || !YAML::convert<bool>::decode(field.node, value)) {
    report(field, "must be true or false");
  }
  return value;
}

std::map<std::string, std::string> ObjectReader::labels(const Field& metadata) {
  const Field field = mapping(metadata, "labels");
  std::map<std::string, std::string> result;
  if (is_absent(field.node) || !field.node.IsMap()) return result;
  for (const auto& entry : field.node) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    const Field label{.node = entry.second, .path = field.path + "." + key};
    if (!is_label_key(key)) {
      report({.node = entry.first, .path = field.path}, quoted(key) + " is not a label key");
    } else if (!entry.second.IsScalar() && !entry.second.IsNull()) {
      report(label, "must be a string");
    } else if (const std::string value = entry.second.IsNull() ? "" : entry.second.Scalar();
               !is_label_value(value)) {
      report(label, quoted(value) +
                        " is not a label value: at most 63 letters, digits, '-', '_', "
                        "'.', with a letter or digit at its ends");
    } else {
      result[key] = value;
    }
  }
  return result;
}

std::optional<Address> ObjectReader::address(const Field& field) {
  if (!field.node.IsDefined() || !field.node.IsScalar()) {
    report(field, "must be an IP address");
    return std::nullopt;
  }
  const auto address = object_address(field.node.Scalar());
  if (!address) {
    report(field, address.error().context);
    return std::nullopt;
  }
  return *address;
}

std::optional<Prefix> ObjectReader::pod_cidr(const Field& field) {
  const std::string text =
      field.node.IsDefined() && field.node.IsScalar() ? field.node.Scalar() : "";
  const auto prefix = sluice::pod_cidr(text);
  if (!prefix) {
    report(field, prefix.error().context);
    return std::nullopt;
  }
  return *prefix;
}

}  // namespace sluice
