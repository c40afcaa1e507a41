// SPDX-License-Identifier: Apache-2.0
// What kube_watch prints: objects, changes and figures as JSON.
#include "tests/kube/print.h"

namespace sluice {
namespace {

using nlohmann::json;

template <class T>
json texts(const std::vector<T>& values) {
  json list = json::array();
  for (const T& value : values) list.push_back(to_string(value));
  return list;
}

json fields(const NodeObject& node) {
  return {{"kind", "Node"},
          {"name", node.name},
          {"addresses", texts(node.internal_addresses)},
          {"podCIDRs", texts(node.pod_cidrs)}};
}

json fields(const NamespaceObject& object) {
  return {{"kind", "Namespace"}, {"name", object.name}, {"labels", object.labels}};
}

json fields(const PodObject& pod) {
  return {{"kind", "Pod"},
          {"namespace", pod.namespace_name},
          {"name", pod.name},
          {"uid", pod.uid},
          {"node", pod.node},
          {"hostNetwork", pod.host_network},
          {"finished", pod.finished},
          {"addresses", texts(pod.addresses)},
          {"labels", pod.labels},
          {"owner", pod.owner_kind + "/" + pod.owner_name}};
}

json fields(const ServiceObject& service) {
  json ports = json::array();
  for (const ServicePort& port : service.ports)
    ports.push_back({port.name, port.protocol, port.port, port.node_port});
  return {{"kind", "Service"},
          {"namespace", service.namespace_name},
          {"name", service.name},
          {"type", service.type},
          {"clusterIPs", texts(service.cluster_ips)},
          {"externalIPs", texts(service.external_ips)},
          {"sourceRanges", texts(service.source_ranges)},
          {"ports", ports},
          {"affinity", service.affinity_seconds},
          {"externalLocal", service.external_local}};
}

json fields(const CustomObject& object) {
  return {{"kind", object.kind}, {"namespace", object.namespace_name}, {"name", object.name},
          {"uid", object.uid},   {"generation", object.generation},    {"spec", object.spec}};
}

}  // namespace

json to_json(const SourceObject& object) {
  return std::visit([](const auto& value) { return fields(value); }, object);
}

json to_json(const Reflector& reflector) {
  const KindMetrics& metrics = reflector.metrics();
  json problems = json::array();
  for (const SourceProblem& problem : reflector.problems()) problems.push_back(to_string(problem));
  return {{"lists", metrics.lists},
          {"pages", metrics.pages},
          {"watches", metrics.watches},
          {"events", metrics.events},
          {"bookmarks", metrics.bookmarks},
          {"changes", metrics.changes},
          {"decode_errors", metrics.decode_errors},
          {"restarts", metrics.restarts},
          {"objects", metrics.objects},
          {"synced", metrics.synced},
          {"lag_ms", reflector.lag().count()},
          {"last_error", metrics.last_error},
          {"problems", problems}};
}

json to_json(const ApiClientMetrics& metrics) {
  return {{"requests", metrics.requests},
          {"failovers", metrics.failovers},
          {"retries", metrics.retries},
          {"credential_reloads", metrics.credential_reloads}};
}

}  // namespace sluice
