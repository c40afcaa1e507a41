// SPDX-License-Identifier: Apache-2.0
// What a Node is told once its agent works: pods may come. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/result/result.h"

namespace sluice {

// Set by whoever adds a node, so that no pod comes before its network does.
inline constexpr const char* kAgentNotReadyTaint = "sluice.dev/agent-not-ready";

struct NodePatches {
  // Strategic merge patch of the status subresource: NetworkUnavailable=False.
  std::optional<std::string> condition{};
  // JSON patch that takes the taint away, and only that: it fails where the list of taints is
  // another by then.
  std::optional<std::string> taint{};
};

// node: the Node as the API server gives it, in JSON. now: RFC 3339. Nothing where nothing is to be
// said. kInvalid: it is no Node.
Result<NodePatches> node_patches(std::string_view node, const std::string& now);

}  // namespace sluice
