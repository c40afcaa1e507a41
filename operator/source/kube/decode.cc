// SPDX-License-Identifier: Apache-2.0
// Objects of the API server to the fields that Sluice uses.
#include "operator/source/kube/decode.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "kube/core.pb.h"
#include "operator/source/values.h"

namespace sluice {
namespace {

using google::protobuf::Arena;
using nlohmann::json;

bool parse(google::protobuf::MessageLite& message, std::string_view bytes) {
  return bytes.size() <= INT32_MAX &&
         message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

ObjectHead head_from(const kube::ObjectMeta& meta) {
  return {.key = {.namespace_name = meta.namespace_(), .name = meta.name()},
          .resource_version = meta.resourceversion()};
}

// Collects what is wrong with one object.
class Problems {
 public:
  Problems(std::string_view kind, const ObjectKey& key, std::vector<SourceProblem>& out)
      : kind_(kind), key_(key), out_(out) {}

  void add(std::string field, std::string what) {
    out_.push_back({.kind = std::string(kind_),
                    .namespace_name = key_.namespace_name,
                    .name = key_.name,
                    .field = std::move(field),
                    .what = std::move(what)});
  }
  // The value, or a problem of that field and nothing.
  template <class T>
  std::optional<T> check(Result<T> result, const std::string& field) {
    if (result) return std::move(*result);
    add(field, result.error().context);
    return std::nullopt;
  }
  std::optional<uint16_t> port(int64_t value, const std::string& field) {
    if (value >= 0 && value <= 65535) return static_cast<uint16_t>(value);
    add(field, std::to_string(value) + " is not a port");
    return std::nullopt;
  }

 private:
  std::string_view kind_;
  const ObjectKey& key_;
  std::vector<SourceProblem>& out_;
};

std::string item(const char* field, int index) {
  return std::string(field) + "[" + std::to_string(index) + "]";
}

std::map<std::string, std::string> labels_of(const kube::ObjectMeta& meta) {
  return {meta.labels().begin(), meta.labels().end()};
}

NodeObject read(const kube::Node& from, Problems& problems) {
  NodeObject node{.name = from.metadata().name()};
  for (int i = 0; i < from.status().addresses_size(); ++i) {
    const auto& address = from.status().addresses(i);
    if (address.type() != "InternalIP") continue;
    if (auto value = problems.check(object_address(address.address()),
                                    item("status.addresses", i) + ".address"))
      node.internal_addresses.push_back(*value);
  }
  for (int i = 0; i < from.spec().podcidrs_size(); ++i) {
    if (auto value = problems.check(pod_cidr(from.spec().podcidrs(i)), item("spec.podCIDRs", i)))
      node.pod_cidrs.push_back(*value);
  }
  if (from.spec().podcidrs_size() == 0 && !from.spec().podcidr().empty()) {
    if (auto value = problems.check(pod_cidr(from.spec().podcidr()), "spec.podCIDR"))
      node.pod_cidrs.push_back(*value);
  }
  return node;
}

NamespaceObject read(const kube::Namespace& from, Problems&) {
  return {.name = from.metadata().name(), .labels = labels_of(from.metadata())};
}

// What kubelet calls the pod towards the runtime: of a static pod not the uid of the mirror that it
// shows to the API server.
std::string runtime_uid(const kube::ObjectMeta& meta) {
  const auto mirror = meta.annotations().find("kubernetes.io/config.mirror");
  return mirror == meta.annotations().end() ? meta.uid() : mirror->second;
}

PodObject read(const kube::Pod& from, Problems& problems) {
  const kube::ObjectMeta& meta = from.metadata();
  PodObject pod{
      .namespace_name = meta.namespace_(),
      .name = meta.name(),
      .uid = runtime_uid(meta),
      .node = from.spec().nodename(),
      .host_network = from.spec().hostnetwork(),
      .finished = from.status().phase() == "Succeeded" || from.status().phase() == "Failed",
      .labels = labels_of(meta)};
  for (const auto& owner : meta.ownerreferences()) {
    if (!owner.controller()) continue;
    pod.owner_kind = owner.kind();
    pod.owner_name = owner.name();
  }
  for (int i = 0; i < from.status().podips_size(); ++i) {
    if (auto value = problems.check(object_address(from.status().podips(i).ip()),
                                    item("status.podIPs", i) + ".ip"))
      pod.addresses.push_back(*value);
  }
  if (from.status().podips_size() == 0 && !from.status().podip().empty()) {
    if (auto value = problems.check(object_address(from.status().podip()), "status.podIP"))
      pod.addresses.push_back(*value);
  }
  return pod;
}

void read_ports(const kube::ServiceSpec& spec, ServiceObject& service, Problems& problems) {
  for (int i = 0; i < spec.ports_size(); ++i) {
    const kube::ServicePort& from = spec.ports(i);
    const auto port = problems.port(from.port(), item("spec.ports", i) + ".port");
    const auto node_port = problems.port(from.nodeport(), item("spec.ports", i) + ".nodePort");
    if (!port || !node_port) continue;
    service.ports.push_back({.name = from.name(),
                             .protocol = from.protocol().empty() ? "TCP" : from.protocol(),
                             .port = *port,
                             .node_port = *node_port});
  }
}

void read_addresses(const kube::Service& from, ServiceObject& service, Problems& problems) {
  const auto take = [&](const std::string& text, const std::string& field,
                        std::vector<Address>& into) {
    if (text.empty() || text == "None") return;
    if (auto value = problems.check(parse_address(text), field)) into.push_back(*value);
  };
  for (int i = 0; i < from.spec().clusterips_size(); ++i)
    take(from.spec().clusterips(i), item("spec.clusterIPs", i), service.cluster_ips);
  if (from.spec().clusterips_size() == 0)
    take(from.spec().clusterip(), "spec.clusterIP", service.cluster_ips);
  for (int i = 0; i < from.spec().externalips_size(); ++i)
    take(from.spec().externalips(i), item("spec.externalIPs", i), service.external_ips);
  const auto& ingress = from.status().loadbalancer().ingress();
  for (int i = 0; i < ingress.size(); ++i) {
    if (ingress[i].ipmode() == "Proxy") continue;  // its packets do not carry this address
    take(ingress[i].ip(), item("status.loadBalancer.ingress", i) + ".ip", service.ingress_ips);
  }
  for (int i = 0; i < from.spec().loadbalancersourceranges_size(); ++i) {
    if (auto value = problems.check(parse_prefix(from.spec().loadbalancersourceranges(i)),
                                    item("spec.loadBalancerSourceRanges", i)))
      service.source_ranges.push_back(*value);
  }
}

ServiceObject read(const kube::Service& from, Problems& problems) {
  constexpr int32_t kDefaultAffinitySeconds = 10'800;
  const kube::ServiceSpec& spec = from.spec();
  ServiceObject service{.namespace_name = from.metadata().namespace_(),
                        .name = from.metadata().name(),
                        .type = spec.type(),
                        .external_local = spec.externaltrafficpolicy() == "Local",
                        .internal_local = spec.internaltrafficpolicy() == "Local"};
  read_addresses(from, service, problems);
  read_ports(spec, service, problems);
  if (spec.sessionaffinity() == "ClientIP") {
    const auto& client = spec.sessionaffinityconfig().clientip();
    const int32_t seconds =
        client.has_timeoutseconds() ? client.timeoutseconds() : kDefaultAffinitySeconds;
    if (seconds <= 0) {
      problems.add("spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                   std::to_string(seconds) + " is not a time");
    }
    service.affinity_seconds = static_cast<uint32_t>(std::max(seconds, 1));
  }
  if (auto port = problems.port(spec.healthchecknodeport(), "spec.healthCheckNodePort"))
    service.health_check_node_port = *port;
  return service;
}

template <class Message>
Decoded decode(std::string_view kind, std::string_view bytes, Arena& arena) {
  Decoded decoded;
  auto* message = Arena::CreateMessage<Message>(&arena);
  const bool parsed = parse(*message, bytes);
  decoded.head = parsed ? head_from(message->metadata()) : head_of(Encoding::kProtobuf, bytes);
  Problems problems(kind, decoded.head.key, decoded.problems);
  if (!parsed) {
    problems.add("", "does not decode");
    return decoded;
  }
  if (decoded.head.key.name.empty()) problems.add("metadata.name", "is missing");
  auto object = read(*message, problems);
  if (decoded.problems.empty()) decoded.object = std::move(object);
  return decoded;
}

std::string text_of(const json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

ObjectHead json_head(const json& root) {
  if (!root.is_object() || !root.contains("metadata")) return {};
  const json& meta = root["metadata"];
  return {.key = {.namespace_name = text_of(meta, "namespace"), .name = text_of(meta, "name")},
          .resource_version = text_of(meta, "resourceVersion")};
}

}  // namespace

ObjectHead head_of(Encoding encoding, std::string_view bytes) {
  if (encoding == Encoding::kJson) return json_head(json::parse(bytes, nullptr, false));
  kube::AnyObject object;
  // What came before the broken part counts: metadata is the first field that the server writes.
  (void)object.ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size() & INT32_MAX));
  return head_from(object.metadata());
}

Decoded decode_node(std::string_view kind, std::string_view bytes, Arena& arena) {
  return decode<kube::Node>(kind, bytes, arena);
}
Decoded decode_namespace(std::string_view kind, std::string_view bytes, Arena& arena) {
  return decode<kube::Namespace>(kind, bytes, arena);
}
Decoded decode_pod(std::string_view kind, std::string_view bytes, Arena& arena) {
  return decode<kube::Pod>(kind, bytes, arena);
}
Decoded decode_service(std::string_view kind, std::string_view bytes, Arena& arena) {
  return decode<kube::Service>(kind, bytes, arena);
}

Decoded decode_custom(std::string_view kind, std::string_view bytes, Arena&) {
  const json root = json::parse(bytes, nullptr, false);
  Decoded decoded{.head = json_head(root)};
  Problems problems(kind, decoded.head.key, decoded.problems);
  if (!root.is_object()) {
    problems.add("", "is not a JSON object");
  } else if (decoded.head.key.name.empty()) {
    problems.add("metadata.name", "is missing");
  } else {
    const json& meta = root["metadata"];
    CustomObject object{.kind = std::string(kind),
                        .namespace_name = decoded.head.key.namespace_name,
                        .name = decoded.head.key.name,
                        .uid = text_of(meta, "uid")};
    if (meta.contains("generation") && meta["generation"].is_number_integer())
      object.generation = meta["generation"].get<int64_t>();
    if (root.contains("spec"))
      object.spec = root["spec"].dump(-1, ' ', false, json::error_handler_t::replace);
    decoded.object = std::move(object);
  }
  return decoded;
}

}  // namespace sluice
