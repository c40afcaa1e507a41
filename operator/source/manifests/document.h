// SPDX-License-Identifier: Apache-2.0
// Fields of one object of a manifest, read with their path and position, so that each error names
// both.
#pragma once

#include <yaml-cpp/yaml.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/source/objects.h"

namespace sluice {

struct Field {
  YAML::Node node;   // undefined where it is absent
  std::string path;  // "spec.podCIDRs[0]"
};

// Line and column of a node, from 1; 0 where it has none.
Origin origin_of(std::string_view file_name, const YAML::Node& node);

// Absent and null are the same to all readers, as they are to Kubernetes. Each reader reports what
// has the wrong type.
class ObjectReader {
 public:
  ObjectReader(std::string_view file_name, const YAML::Node& root,
               std::vector<SourceProblem>& problems);

  Field root() const { return {.node = root_, .path = ""}; }
  Field mapping(const Field& parent, const std::string& key);
  std::vector<Field> items(const Field& parent, const std::string& key);
  std::optional<std::string> text(const Field& parent, const std::string& key);
  bool boolean(const Field& parent, const std::string& key);  // absent: false
  std::map<std::string, std::string> labels(const Field& metadata);
  std::optional<Address> address(const Field& field);
  std::optional<Prefix> pod_cidr(const Field& field);

  void report(const Field& field, std::string what);
  // Reports from here on name this object.
  void set_object(std::string kind, std::string namespace_name, std::string name);
  const Origin& origin() const { return origin_; }
  bool failed() const { return failed_; }

 private:
  Field child(const Field& parent, const std::string& key) const;

  std::string file_name_;
  YAML::Node root_;
  Origin origin_;
  std::vector<SourceProblem>& problems_;
  std::string kind_;
  std::string namespace_name_;
  std::string name_;
  bool failed_ = false;
};

}  // namespace sluice
