// SPDX-License-Identifier: Apache-2.0
// Objects packed, and unpacked again.
#include "operator/source/kube/store.h"

#include <optional>
#include <string_view>

namespace sluice {
namespace {

constexpr std::array<size_t, 4> kUuidDashes = {8, 13, 18, 23};
constexpr std::string_view kHexDigits = "0123456789abcdef";

bool is_dash(size_t at) {
  return at == kUuidDashes[0] || at == kUuidDashes[1] || at == kUuidDashes[2] ||
         at == kUuidDashes[3];
}

// Nothing where the text cannot be had back from the 16 bytes exactly.
std::optional<std::array<uint8_t, 16>> uuid_bytes(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  std::array<uint8_t, 16> bytes{};
  size_t digits = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (is_dash(at)) {
      if (text[at] != '-') return std::nullopt;
      continue;
    }
    const size_t digit = kHexDigits.find(text[at]);
    if (digit == std::string_view::npos) return std::nullopt;
    auto& byte = bytes[digits++ / 2];
    byte = static_cast<uint8_t>(byte * size_t{16} + digit);
  }
  // All zero says that there is none.
  if (bytes == std::array<uint8_t, 16>{}) return std::nullopt;
  return bytes;
}

std::string uuid_text(const std::array<uint8_t, 16>& bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    if (is_dash(text.size())) text += '-';
    text += kHexDigits[byte >> 4];
    text += kHexDigits[byte & 15];
  }
  return text;
}

Text intern(StorePools& pools, const std::string& text) {
  return text.empty() ? Text() : pools.texts.intern(text);
}

std::string text_of(const Text& text) {
  return text ? *text : "";
}

}  // namespace

size_t LabelSetHash::operator()(const LabelSet& set) const {
  size_t hash = set.size();
  for (const auto& [key, value] : set) hash = (hash * 31 + key.hash()) * 31 + value.hash();
  return hash;
}

Packed<PodObject> Packed<PodObject>::pack(StorePools& pools, const PodObject& from) {
  Packed packed;
  if (const auto bytes = uuid_bytes(from.uid)) {
    packed.uid = *bytes;
  } else {
    packed.other_uid = intern(pools, from.uid);
  }
  packed.node = intern(pools, from.node);
  packed.owner_kind = intern(pools, from.owner_kind);
  packed.owner_name = intern(pools, from.owner_name);
  LabelSet labels;
  labels.reserve(from.labels.size());
  for (const auto& [key, value] : from.labels)
    labels.emplace_back(pools.texts.intern(key), pools.texts.intern(value));
  packed.labels = pools.labels.intern(labels);
  packed.addresses = from.addresses;
  packed.addresses.shrink_to_fit();
  packed.host_network = from.host_network;
  packed.finished = from.finished;
  return packed;
}

PodObject Packed<PodObject>::unpack(const ObjectKey& key) const {
  PodObject pod{.namespace_name = key.namespace_name,
                .name = key.name,
                .uid = other_uid ? *other_uid : "",
                .node = text_of(node),
                .host_network = host_network,
                .finished = finished,
                .addresses = addresses,
                .owner_kind = text_of(owner_kind),
                .owner_name = text_of(owner_name)};
  if (uid != std::array<uint8_t, 16>{}) pod.uid = uuid_text(uid);
  if (labels) {
    for (const auto& [name, value] : *labels) pod.labels.emplace(*name, *value);
  }
  return pod;
}

Packed<ServiceObject> Packed<ServiceObject>::pack(StorePools& pools, const ServiceObject& from) {
  Packed packed;
  packed.type = intern(pools, from.type);
  packed.cluster_ips = from.cluster_ips;
  packed.ports.reserve(from.ports.size());
  for (const ServicePort& port : from.ports) {
    packed.ports.push_back({.name = intern(pools, port.name),
                            .protocol = intern(pools, port.protocol),
                            .port = port.port,
                            .node_port = port.node_port});
  }
  More more{.external_ips = from.external_ips,
            .ingress_ips = from.ingress_ips,
            .source_ranges = from.source_ranges};
  if (!more.empty()) packed.more = std::make_unique<More>(std::move(more));
  packed.affinity_seconds = from.affinity_seconds;
  packed.health_check_node_port = from.health_check_node_port;
  packed.external_local = from.external_local;
  packed.internal_local = from.internal_local;
  return packed;
}

ServiceObject Packed<ServiceObject>::unpack(const ObjectKey& key) const {
  ServiceObject service{.namespace_name = key.namespace_name,
                        .name = key.name,
                        .type = text_of(type),
                        .cluster_ips = cluster_ips,
                        .external_local = external_local,
                        .internal_local = internal_local,
                        .affinity_seconds = affinity_seconds,
                        .health_check_node_port = health_check_node_port};
  if (more != nullptr) {
    service.external_ips = more->external_ips;
    service.ingress_ips = more->ingress_ips;
    service.source_ranges = more->source_ranges;
  }
  for (const Port& port : ports) {
    service.ports.push_back({.name = text_of(port.name),
                             .protocol = text_of(port.protocol),
                             .port = port.port,
                             .node_port = port.node_port});
  }
  return service;
}

bool Packed<ServiceObject>::operator==(const Packed& other) const {
  const bool same_more =
      (more == nullptr) == (other.more == nullptr) && (more == nullptr || *more == *other.more);
  return same_more && type == other.type && cluster_ips == other.cluster_ips &&
         ports == other.ports && affinity_seconds == other.affinity_seconds &&
         health_check_node_port == other.health_check_node_port &&
         external_local == other.external_local && internal_local == other.internal_local;
}

}  // namespace sluice
