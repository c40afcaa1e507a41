// SPDX-License-Identifier: Apache-2.0
// One manifest file to objects: documents, lists of objects, and the kinds that are read.
#include "operator/source/manifests/parse.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>

#include <yaml-cpp/yaml.h>

#include <functional>
#include <optional>
#include <set>
#include <tuple>

#include "lib/labels/labels.h"
#include "operator/source/manifests/document.h"

namespace sluice {
namespace {

class Parser {
 public:
  Parser(std::string_view file_name, ParsedFile& out) : file_name_(file_name), out_(out) {}

  void take(const YAML::Node& root, bool in_list);

 private:
  using Key = std::tuple<std::string, std::string, std::string>;  // kind, namespace, name

  void take_list(ObjectReader& reader);
  void take_object(ObjectReader& reader, const std::string& kind);
  std::optional<Key> read_key(ObjectReader& reader, const std::string& kind);
  void read_node(ObjectReader& reader, const Key& key);
  void read_namespace(ObjectReader& reader, const Key& key);
  void read_pod(ObjectReader& reader, const Key& key);

  std::string file_name_;
  ParsedFile& out_;
  std::map<Key, uint32_t> first_line_;
};

void Parser::take(const YAML::Node& root, bool in_list) {
  if (!root.IsDefined() || root.IsNull()) return;
  ObjectReader reader(file_name_, root, out_.problems);
  if (!root.IsMap()) {
    reader.report(reader.root(), "a document must be one Kubernetes object (a mapping)");
    out_.incomplete = true;
    return;
  }
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
    out_.ignored_kinds[*api_version + " " + *kind]++;
  }
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

void Parser::read_node(ObjectReader& reader, const Key& key) {
  NodeObject node{.name = std::get<2>(key), .origin = reader.origin()};
  const Field status = reader.mapping(reader.root(), "status");
  for (const Field& entry : reader.items(status, "addresses")) {
    if (!entry.node.IsMap()) {
      reader.report(entry, "must be a mapping with type and address");
      continue;
    }
    if (reader.text(entry, "type").value_or("") != "InternalIP") continue;
    const YAML::Node& map = entry.node;
    if (auto address = reader.address({.node = map["address"], .path = entry.path + ".address"})) {
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
    const YAML::Node& map = entry.node;
    const YAML::Node ip = map.IsMap() ? map["ip"] : YAML::Node(YAML::NodeType::Undefined);
    if (auto address = reader.address({.node = ip, .path = entry.path + ".ip"}))
      pod.addresses.push_back(*address);
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

// Listens to a parse and keeps nothing.
class Silent final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

// yaml-cpp 0.7 finds one document after the other in a text like "," without ever moving on. No
// text has more documents than lines: one that seems to have is refused before it is read for good.
void check_ends(const std::string& text) {
  const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  Silent silent;
  for (std::ptrdiff_t documents = 0; parser.HandleNextDocument(silent); ++documents) {
    if (documents > lines)
      throw YAML::ParserException(YAML::Mark::null_mark(), "a value stands where none can");
  }
}

}  // namespace

ParsedFile parse_documents(std::string_view file_name, std::string_view text) {
  ParsedFile out;
  Parser parser(file_name, out);
  try {
    check_ends(std::string(text));
    for (const YAML::Node& document : YAML::LoadAll(std::string(text)))
      parser.take(document, false);
  } catch (const YAML::Exception& error) {
    report_syntax(file_name, error, out);
  }
  return out;
}

}  // namespace sluice
