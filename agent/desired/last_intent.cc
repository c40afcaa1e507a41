// SPDX-License-Identifier: Apache-2.0
#include "agent/desired/last_intent.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "lib/fd/fd.h"

namespace sluice {

namespace {

using nlohmann::json;

constexpr int kVersion = 1;

template <class T>
json texts(const std::vector<T>& values) {
  json list = json::array();
  for (const T& value : values) list.push_back(to_string(value));
  return list;
}

// parse: parse_address or parse_prefix.
template <class T, class Parse>
Status read_texts(const json& list, Parse parse, std::vector<T>& values) {
  for (const auto& text : list) {
    auto value = parse(text.template get<std::string>());
    if (!value) return fail(value.error());
    values.push_back(*value);
  }
  return {};
}

json to_json(const PodIntent& pod) {
  return {{"namespace", pod.namespace_name},
          {"name", pod.name},
          {"uid", pod.uid},
          {"node", pod.node},
          {"hostNetwork", pod.host_network},
          {"addresses", texts(pod.addresses)},
          {"labels", pod.labels},
          {"identity", pod.identity},
          {"workloadKind", pod.workload_kind},
          {"workloadName", pod.workload_name}};
}

Result<PodIntent> read_pod(const json& from) {
  PodIntent pod;
  pod.namespace_name = from.at("namespace");
  pod.name = from.at("name");
  pod.uid = from.at("uid");
  pod.node = from.at("node");
  pod.host_network = from.at("hostNetwork");
  pod.labels = from.at("labels").get<std::map<std::string, std::string>>();
  pod.identity = from.at("identity");
  pod.workload_kind = from.at("workloadKind");
  pod.workload_name = from.at("workloadName");
  if (auto read = read_texts(from.at("addresses"), parse_address, pod.addresses); !read) {
    return fail(read.error());
  }
  return pod;
}

Result<Intent> read_intent(const json& from) {
  Intent intent;
  if (from.at("version") != kVersion) return fail(ErrorCode::kInvalid, "version: not 1");
  for (const auto& each : from.at("nodes")) {
    NodeIntent node;
    node.name = each.at("name");
    auto read = read_texts(each.at("addresses"), parse_address, node.addresses);
    if (read) read = read_texts(each.at("podCIDRs"), parse_prefix, node.pod_cidrs);
    if (!read) return fail(read.error());
    intent.nodes.push_back(std::move(node));
  }
  for (const auto& each : from.at("pods")) {
    auto pod = read_pod(each);
    if (!pod) return fail(pod.error());
    intent.pods.push_back(std::move(*pod));
  }
  return intent;
}

// What may belong to one object alone.
struct Claims {
  std::set<Address> addresses;
  std::vector<Prefix> pod_cidrs;
};

Claims claims_of(const Intent& intent) {
  Claims claims;
  for (const NodeIntent& node : intent.nodes) {
    claims.addresses.insert(node.addresses.begin(), node.addresses.end());
    claims.pod_cidrs.insert(claims.pod_cidrs.end(), node.pod_cidrs.begin(), node.pod_cidrs.end());
  }
  for (const PodIntent& pod : intent.pods) {
    if (!pod.host_network) claims.addresses.insert(pod.addresses.begin(), pod.addresses.end());
  }
  return claims;
}

bool any_taken(const std::vector<Address>& addresses, const Claims& claims) {
  return std::any_of(addresses.begin(), addresses.end(),
                     [&](const Address& address) { return claims.addresses.contains(address); });
}

bool contradicts(const NodeIntent& node, const Claims& claims) {
  if (any_taken(node.addresses, claims)) return true;
  return std::any_of(node.pod_cidrs.begin(), node.pod_cidrs.end(), [&](const Prefix& old) {
    return std::any_of(claims.pod_cidrs.begin(), claims.pod_cidrs.end(),
                       [&](const Prefix& cidr) { return overlaps(cidr, old); });
  });
}

bool contradicts(const PodIntent& pod, const Claims& claims) {
  return !pod.host_network && any_taken(pod.addresses, claims);  // else: its node's addresses
}

std::pair<std::string, std::string> key_of(const PodIntent& pod) {
  return {pod.namespace_name, pod.name};
}

}  // namespace

std::string encode_intent(const Intent& intent) {
  json nodes = json::array();
  for (const NodeIntent& node : intent.nodes) {
    nodes.push_back({{"name", node.name},
                     {"addresses", texts(node.addresses)},
                     {"podCIDRs", texts(node.pod_cidrs)}});
  }
  json pods = json::array();
  for (const PodIntent& pod : intent.pods) pods.push_back(to_json(pod));
  return json({{"version", kVersion}, {"nodes", nodes}, {"pods", pods}}).dump();
}

Result<Intent> decode_intent(const std::string& text) {
  try {
    return read_intent(json::parse(text));
  } catch (const json::exception& error) {
    return fail(ErrorCode::kInvalid, error.what());
  }
}

Intent missing_in(const Intent& fresh, Intent last) {
  const Claims claims = claims_of(fresh);
  std::set<std::string> nodes;
  std::set<std::pair<std::string, std::string>> pods;
  for (const NodeIntent& node : fresh.nodes) nodes.insert(node.name);
  for (const PodIntent& pod : fresh.pods) pods.insert(key_of(pod));
  std::erase_if(last.nodes, [&](const NodeIntent& node) {
    return nodes.contains(node.name) || contradicts(node, claims);
  });
  std::erase_if(last.pods, [&](const PodIntent& pod) {
    return pods.contains(key_of(pod)) || contradicts(pod, claims);
  });
  return last;
}

Intent with_missing(Intent fresh, const Intent& last) {
  Intent missing = missing_in(fresh, last);
  std::move(missing.nodes.begin(), missing.nodes.end(), std::back_inserter(fresh.nodes));
  std::move(missing.pods.begin(), missing.pods.end(), std::back_inserter(fresh.pods));
  std::sort(fresh.nodes.begin(), fresh.nodes.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  std::sort(fresh.pods.begin(), fresh.pods.end(),
            [](const auto& a, const auto& b) { return key_of(a) < key_of(b); });
  return fresh;
}

LastIntent::LastIntent(const std::string& state_dir) : path_(state_dir + "/intent.json") {
  auto text = read_file(path_);
  if (!text) return;
  auto intent = decode_intent(*text);
  if (!intent) {
    spdlog::warn("{}: {}: it is written anew with the next intent", path_,
                 intent.error().message());
    return;
  }
  last_ = std::move(*intent);
  written_ = std::move(*text);
}

Intent LastIntent::judge(Intent fresh, bool problem) {
  if (problem && last_) {
    // The source keeps what it has had once: what leaves it from then on was deleted.
    last_ = missing_in(fresh, std::move(*last_));
    fresh = with_missing(std::move(fresh), *last_);
  } else {
    last_.reset();
  }
  auto text = encode_intent(fresh);
  saved_ = {};
  if (text == written_) return fresh;
  saved_ = write_file(path_, text);
  if (saved_) written_ = std::move(text);
  return fresh;
}

}  // namespace sluice
