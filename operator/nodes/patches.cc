// SPDX-License-Identifier: Apache-2.0
// What a Node is told once its agent works.
#include "operator/nodes/patches.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using nlohmann::json;

constexpr const char* kCondition = "NetworkUnavailable";

bool has_network(const json& node) {
  const json conditions = node.value("/status/conditions"_json_pointer, json::array());
  return std::any_of(conditions.begin(), conditions.end(), [](const json& condition) {
    return condition.value("type", "") == kCondition && condition.value("status", "") == "False";
  });
}

std::optional<std::string> taint_patch(const json& node) {
  const json taints = node.value("/spec/taints"_json_pointer, json::array());
  json patch = json::array();
  // From the end: what is taken away moves what comes after it.
  for (size_t i = taints.size(); i-- > 0;) {
    if (taints[i].value("key", "") != kAgentNotReadyTaint) continue;
    const std::string path = "/spec/taints/" + std::to_string(i);
    patch.push_back({{"op", "test"}, {"path", path}, {"value", taints[i]}});
    patch.push_back({{"op", "remove"}, {"path", path}});
  }
  if (patch.empty()) return std::nullopt;
  return patch.dump();
}

}  // namespace

Result<NodePatches> node_patches(std::string_view text, const std::string& now) {
  try {
    const json node = json::parse(text);
    NodePatches patches{.taint = taint_patch(node)};
    if (has_network(node)) return patches;
    const json condition = {{"type", kCondition},
                            {"status", "False"},
                            {"reason", "SluiceIsUp"},
                            {"message", "the Sluice agent of this node has applied its state"},
                            {"lastHeartbeatTime", now},
                            {"lastTransitionTime", now}};
    patches.condition = json{{"status", {{"conditions", json::array({condition})}}}}.dump();
    return patches;
  } catch (const json::exception& error) {
    return fail(ErrorCode::kInvalid, std::string("Node: ") + error.what());
  }
}

}  // namespace sluice
