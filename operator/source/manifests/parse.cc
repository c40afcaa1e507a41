// SPDX-License-Identifier: Apache-2.0
// One manifest file to objects: documents, lists of objects, and the kinds that are read.
#include "operator/source/manifests/parse.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <tuple>
#include <utility>

#include "lib/labels/labels.h"
#include "operator/source/manifests/document.h"
#include "operator/source/manifests/keys.h"

namespace sluice {
namespace {

// A group without a dot is one of Kubernetes' own. There, Node, Namespace and Pod exist in v1 only.
bool is_builtin_group(std::string_view api_version) {
  return api_version.substr(0, api_version.find('/')).find('.') == std::string_view::npos ||
         api_version.find('/') == std::string_view::npos;
}

constexpr std::array kKinds = {"Node",     "Namespace",     "Pod",    "List",
                               "NodeList", "NamespaceList", "PodList"};

// The kind that was meant; null: one that is not read.
const char* meant_kind(std::string_view api_version, std::string_view kind) {
  if (!is_builtin_group(api_version)) return nullptr;
  for (const char* known : kKinds) {
    if (std::ranges::equal(kind, std::string_view(known), [](unsigned char a, unsigned char b) {
          return std::tolower(a) == std::tolower(b);
        })) {
      return known;
    }
  }
  return nullptr;
}

// Where a mapping of a document or a list starts, and which object it is.
struct Place {
  Origin origin{};
  std::string kind{};  // empty: it could not be named
  std::string namespace_name{};
  std::string name{};
  bool ignored = false;
};

class Parser {
 public:
  Parser(std::string_view file_name, ParsedFile& out) : file_name_(file_name), out_(out) {}

  void take(const YAML::Node& root, bool in_list);
  // After all documents: the key belongs to the last object that starts before it.
  void take_key_problem(const KeyProblem& key);

 private:
  using Key = std::tuple<std::string, std::string, std::string>;  // kind, namespace, name

  void take_list(ObjectReader& reader);
  void take_other(ObjectReader& reader, const std::string& api_version, const std::string& kind);
  void take_object(ObjectReader& reader, const std::string& kind);
  std::optional<Key> read_key(ObjectReader& reader, const std::string& kind);
  void read_node(ObjectReader& reader, const Key& key);
  void read_namespace(ObjectReader& reader, const Key& key);
  void read_pod(ObjectReader& reader, const Key& key);

  std::string file_name_;
  ParsedFile& out_;
  std::map<Key, uint32_t> first_line_;
  std::vector<Place> places_;
};

void Parser::take(const YAML::Node& root, bool in_list) {
  if (!root.IsDefined() || root.IsNull()) return;
  ObjectReader reader(file_name_, root, out_.problems);
  if (!root.IsMap()) {
    reader.report(reader.root(), "a document must be one Kubernetes object (a mapping)");
    out_.incomplete = true;
    return;
  }
  places_.push_back({.origin = reader.origin()});
  const auto api_version = reader.text(reader.root(), "apiVersion");
  const auto kind = reader.text(reader.root(), "kind");
  if (!api_version || !kind || kind->empty() || api_version->empty()) {
    const char* missing = !kind || kind->empty() ? "kind" : "apiVersion";
    reader.report({.node = root, .path = missing}, "is missing");
    out_.incomplete = true;
    return;
  }
  const bool core = *api_version == "v1";
  if (core &&
      (*kind == "List" || *kind == "NodeList" || *kind == "PodList" || *kind == "NamespaceList")) {
    if (in_list) {
      reader.report(reader.root(), "a List inside a List is not read");
      out_.incomplete = true;
    } else {
      take_list(reader);
    }
  } else if (core && (*kind == "Node" || *kind == "Namespace" || *kind == "Pod")) {
    take_object(reader, *kind);
  } else {
    take_other(reader, *api_version, *kind);
  }
}

void Parser::take_other(ObjectReader& reader, const std::string& api_version,
                        const std::string& kind) {
  const char* meant = meant_kind(api_version, kind);
  if (meant == nullptr) {
    out_.ignored_kinds[api_version + " " + kind]++;
    places_.back().ignored = true;
    return;
  }
  const YAML::Node root = reader.root().node;
  if (kind != meant) {
    reader.report({.node = root["kind"], .path = "kind"},
                  "\"" + kind + "\" is not a kind; it is written " + meant);
  } else {
    reader.report({.node = root["apiVersion"], .path = "apiVersion"},
                  "\"" + api_version + "\" has no " + kind + ": it is of v1");
  }
  out_.incomplete = true;
}

void Parser::take_key_problem(const KeyProblem& key) {
  const auto starts_after = [&](const Place& place) {
    return std::pair(place.origin.line, place.origin.column) > std::pair(key.line, key.column);
  };
  Place owner;
  for (const Place& place : places_) {
    if (!starts_after(place)) owner = place;
  }
  if (owner.ignored) return;
  out_.problems.push_back({.origin = {.file = file_name_, .line = key.line, .column = key.column},
                           .kind = owner.kind,
                           .namespace_name = owner.namespace_name,
                           .name = owner.name,
                           .field = key.path,
                           .what = key.what});
  if (owner.kind.empty()) out_.incomplete = true;
  const auto is_owner = [&](const auto& object) { return object.origin == owner.origin; };
  std::erase_if(out_.objects.nodes, is_owner);
  std::erase_if(out_.objects.namespaces, is_owner);
  std::erase_if(out_.objects.pods, is_owner);
}

void Parser::take_list(ObjectReader& reader) {
  for (const Field& item : reader.items(reader.root(), "items")) take(item.node, true);
  if (reader.failed()) out_.incomplete = true;
}

std::optional<Parser::Key> Parser::read_key(ObjectReader& reader, const std::string& kind) {
  const Field metadata = reader.mapping(reader.root(), "metadata");
  const std::string name = reader.text(metadata, "name").value_or("");
  std::string namespace_name;
  if (kind == "Pod") namespace_name = reader.text(metadata, "namespace").value_or("default");
  reader.set_object(kind, namespace_name, name);

  const Field name_field{.node = metadata.node, .path = "metadata.name"};
  if (name.empty()) {
    if (!reader.failed()) reader.report(name_field, "is missing");
  } else if (kind == "Namespace" ? !is_dns_label(name) : !is_dns_subdomain(name)) {
    reader.report(name_field, "\"" + name +
                                  "\" is not a DNS name: lower-case letters, digits, '-'" +
                                  (kind == "Namespace" ? "" : " and '.'"));
  }
  if (kind == "Pod" && !is_dns_label(namespace_name)) {
    reader.report({.node = metadata.node, .path = "metadata.namespace"},
                  "\"" + namespace_name + "\" is not a DNS label: lower-case letters, digits, '-'");
  }
  if (reader.failed()) return std::nullopt;
  return Key{kind, namespace_name, name};
}

void Parser::take_object(ObjectReader& reader, const std::string& kind) {
  reader.set_object(kind, "", "");
  const auto key = read_key(reader, kind);
  if (!key) {
    out_.incomplete = true;
    return;
  }
  std::tie(places_.back().kind, places_.back().namespace_name, places_.back().name) = *key;
  const auto [first, is_new] = first_line_.emplace(*key, reader.origin().line);
  if (!is_new) {
    reader.report(reader.root(), "is defined twice: the one in line " +
                                     std::to_string(first->second) + " is used");
    return;
  }
  if (kind == "Node") read_node(reader, *key);
  if (kind == "Namespace") read_namespace(reader, *key);
  if (kind == "Pod") read_pod(reader, *key);
}

// Where it is absent, the mapping stands for it: its position says where to add it.
Field member(const Field& parent, const char* key) {
  const YAML::Node& map = parent.node;  // the const operator adds no key
  const YAML::Node found = map[key];
  return {.node = found.IsDefined() ? found : map, .path = parent.path + "." + key};
}

void Parser::read_node(ObjectReader& reader, const Key& key) {
  NodeObject node{.name = std::get<2>(key), .origin = reader.origin()};
  const Field status = reader.mapping(reader.root(), "status");
  for (const Field& entry : reader.items(status, "addresses")) {
    if (!entry.node.IsMap()) {
      reader.report(entry, "must be a mapping with type and address");
      continue;
    }
    if (reader.text(entry, "type").value_or("") != "InternalIP") continue;
    if (auto address = reader.address(member(entry, "address"))) {
      node.internal_addresses.push_back(*address);
    }
  }
  const Field spec = reader.mapping(reader.root(), "spec");
  for (const Field& entry : reader.items(spec, "podCIDRs")) {
    if (auto cidr = reader.pod_cidr(entry)) node.pod_cidrs.push_back(*cidr);
  }
  if (const auto text = reader.text(spec, "podCIDR"); text && !reader.failed()) {
    const YAML::Node& map = spec.node;
    const Field single{.node = map["podCIDR"], .path = "spec.podCIDR"};
    if (auto cidr = reader.pod_cidr(single)) {
      if (node.pod_cidrs.empty()) node.pod_cidrs.push_back(*cidr);
      if (node.pod_cidrs.front() != *cidr) {
        reader.report(single, "\"" + *text + "\" is not spec.podCIDRs[0], which is " +
                                  to_string(node.pod_cidrs.front()));
      }
    }
  }
  if (!reader.failed()) out_.objects.nodes.push_back(std::move(node));
}

void Parser::read_namespace(ObjectReader& reader, const Key& key) {
  NamespaceObject object{.name = std::get<2>(key), .origin = reader.origin()};
  object.labels = reader.labels(reader.mapping(reader.root(), "metadata"));
  if (!reader.failed()) out_.objects.namespaces.push_back(std::move(object));
}

void Parser::read_pod(ObjectReader& reader, const Key& key) {
  PodObject pod{
      .namespace_name = std::get<1>(key), .name = std::get<2>(key), .origin = reader.origin()};
  const Field metadata = reader.mapping(reader.root(), "metadata");
  pod.uid = reader.text(metadata, "uid").value_or("");
  pod.labels = reader.labels(metadata);
  for (const Field& owner : reader.items(metadata, "ownerReferences")) {
    if (!reader.boolean(owner, "controller")) continue;
    pod.owner_kind = reader.text(owner, "kind").value_or("");
    pod.owner_name = reader.text(owner, "name").value_or("");
  }
  const Field spec = reader.mapping(reader.root(), "spec");
  pod.node = reader.text(spec, "nodeName").value_or("");
  pod.host_network = reader.boolean(spec, "hostNetwork");
  const Field status = reader.mapping(reader.root(), "status");
  const std::string phase = reader.text(status, "phase").value_or("");
  pod.finished = phase == "Succeeded" || phase == "Failed";
  for (const Field& entry : reader.items(status, "podIPs")) {
    if (!entry.node.IsMap()) {
      reader.report({.node = entry.node, .path = entry.path + ".ip"}, "must be in a mapping");
      continue;
    }
    if (auto address = reader.address(member(entry, "ip"))) pod.addresses.push_back(*address);
  }
  if (pod.addresses.empty() && !reader.text(status, "podIP").value_or("").empty()) {
    const YAML::Node& map = status.node;
    if (auto address = reader.address({.node = map["podIP"], .path = "status.podIP"}))
      pod.addresses.push_back(*address);
  }
  if (!reader.failed()) out_.objects.pods.push_back(std::move(pod));
}

void report_syntax(std::string_view file_name, const YAML::Exception& error, ParsedFile& out) {
  Origin origin{.file = std::string(file_name)};
  if (!error.mark.is_null()) {
    origin.line = static_cast<uint32_t>(error.mark.line + 1);
    origin.column = static_cast<uint32_t>(error.mark.column + 1);
  }
  out = ParsedFile{};
  out.problems.push_back({.origin = std::move(origin), .what = "not YAML: " + error.msg});
  out.incomplete = true;
}

}  // namespace

ParsedFile parse_documents(std::string_view file_name, std::string_view text) {
  ParsedFile out;
  Parser parser(file_name, out);
  try {
    const auto problems = key_problems(std::string(text));
    for (const YAML::Node& document : YAML::LoadAll(std::string(text)))
      parser.take(document, false);
    for (const KeyProblem& key : problems) parser.take_key_problem(key);
  } catch (const YAML::Exception& error) {
    report_syntax(file_name, error, out);
  }
  return out;
}

}  // namespace sluice
