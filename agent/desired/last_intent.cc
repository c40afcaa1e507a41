// SPDX-License-Identifier: Apache-2.0
#include "agent/desired/last_intent.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "lib/fd/fd.h"

namespace sluice {

namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr size_t kMinChangeBytes = 64 << 10;  // a small file is not worth being written anew

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

json to_json(const NodeIntent& node) {
  return {{"name", node.name},
          {"addresses", texts(node.addresses)},
          {"podCIDRs", texts(node.pod_cidrs)}};
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

Status read_objects(const json& from, IntentDelta& delta) {
  for (const auto& each : from.at("nodes")) {
    auto node = std::make_shared<NodeIntent>();
    node->name = each.at("name");
    auto read = read_texts(each.at("addresses"), parse_address, node->addresses);
    if (read) read = read_texts(each.at("podCIDRs"), parse_prefix, node->pod_cidrs);
    if (!read) return read;
    delta.nodes.push_back(std::move(node));
  }
  for (const auto& each : from.at("pods")) {
    auto pod = read_pod(each);
    if (!pod) return fail(pod.error());
    delta.pods.push_back(std::make_shared<const PodIntent>(std::move(*pod)));
  }
  return {};
}

Result<Intent> read_whole(std::string_view line) {
  Intent intent;
  try {
    const json from = json::parse(line);
    if (from.at("version") != kVersion) return fail(ErrorCode::kInvalid, "version: not 1");
    IntentDelta delta;
    if (auto read = read_objects(from, delta); !read) return fail(read.error());
    apply(delta, intent);
  } catch (const json::exception& error) {
    return fail(ErrorCode::kInvalid, error.what());
  }
  return intent;
}

bool read_change(std::string_view line, IntentDelta& delta) {
  try {
    const json from = json::parse(line);
    delta.removed_nodes = from.at("removedNodes").get<std::vector<std::string>>();
    delta.removed_pods = from.at("removedPods").get<std::vector<PodKey>>();
    return read_objects(from, delta).has_value();
  } catch (const json::exception&) {
    return false;
  }
}

std::string_view next_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

template <class T>
json objects_of(const std::vector<T>& objects) {
  json list = json::array();
  for (const T& object : objects) list.push_back(to_json(object));
  return list;
}

template <class T>
json objects_of(const std::vector<std::shared_ptr<const T>>& objects) {
  json list = json::array();
  for (const auto& object : objects) list.push_back(to_json(*object));
  return list;
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

Intent named_in(const IntentDelta& delta) {
  Intent intent;
  for (const auto& node : delta.nodes) intent.nodes.push_back(*node);
  for (const auto& pod : delta.pods) intent.pods.push_back(*pod);
  return intent;
}

void add(const Intent& more, IntentDelta& delta) {
  const IntentDelta all = everything(more);
  delta.nodes.insert(delta.nodes.end(), all.nodes.begin(), all.nodes.end());
  delta.pods.insert(delta.pods.end(), all.pods.begin(), all.pods.end());
  std::ranges::sort(delta.nodes, {}, [](const auto& node) { return node->name; });
  std::ranges::sort(delta.pods, {}, [](const auto& pod) { return key_of(*pod); });
}

// Removes what `before` has and neither `kept` has nor the delta names.
void remove_others(const Intent& before, const Intent& kept, const Intent& named,
                   IntentDelta& delta) {
  for (const NodeIntent& node : before.nodes) {
    if (!find_node(kept, node.name) && !find_node(named, node.name))
      delta.removed_nodes.push_back(node.name);
  }
  for (const PodIntent& pod : before.pods) {
    if (!find_pod(kept, pod.namespace_name, pod.name) &&
        !find_pod(named, pod.namespace_name, pod.name))
      delta.removed_pods.push_back(key_of(pod));
  }
  std::ranges::sort(delta.removed_nodes);
  std::ranges::sort(delta.removed_pods);
}

}  // namespace

std::string encode_intent(const Intent& intent) {
  return json({{"version", kVersion},
               {"nodes", objects_of(intent.nodes)},
               {"pods", objects_of(intent.pods)}})
             .dump() +
         "\n";
}

std::string encode_delta(const IntentDelta& delta) {
  return json({{"nodes", objects_of(delta.nodes)},
               {"removedNodes", delta.removed_nodes},
               {"pods", objects_of(delta.pods)},
               {"removedPods", delta.removed_pods}})
             .dump() +
         "\n";
}

Result<Intent> decode_intent(const std::string& text) {
  std::string_view rest = text;
  auto intent = read_whole(next_line(rest));
  while (intent && !rest.empty()) {
    IntentDelta delta;
    if (!read_change(next_line(rest), delta)) break;
    apply(delta, *intent);
  }
  return intent;
}

Intent missing_in(const Intent& fresh, Intent last) {
  const Claims claims = claims_of(fresh);
  std::erase_if(last.nodes, [&](const NodeIntent& node) {
    return find_node(fresh, node.name) != nullptr || contradicts(node, claims);
  });
  std::erase_if(last.pods, [&](const PodIntent& pod) {
    return find_pod(fresh, pod.namespace_name, pod.name) != nullptr || contradicts(pod, claims);
  });
  return last;
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
}

IntentDelta LastIntent::judge(IntentDelta fresh, bool problem) {
  const bool first = !std::exchange(started_, true);
  if (!last_) return fresh;
  // The source keeps what it has had once: what leaves it from then on was deleted.
  const Intent named = named_in(fresh);
  Intent kept = problem ? missing_in(named, *last_) : Intent{};
  if (first) {
    add(kept, fresh);
  } else {
    remove_others(*last_, kept, named, fresh);
  }
  last_ = problem ? std::optional(std::move(kept)) : std::nullopt;
  return fresh;
}

Status LastIntent::save(const IntentDelta& delta, const Intent& now) {
  if (!whole_wanted_) {
    if (delta.empty()) return {};
    const std::string line = encode_delta(delta);
    change_bytes_ += line.size();
    if (change_bytes_ <= std::max(whole_bytes_, kMinChangeBytes)) {
      if (append_file(path_, line)) return {};
    }
  }
  const std::string text = encode_intent(now);
  const auto written = write_file(path_, text);
  whole_wanted_ = !written;
  whole_bytes_ = text.size();
  change_bytes_ = 0;
  return written;
}

}  // namespace sluice
