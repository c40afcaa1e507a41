// SPDX-License-Identifier: Apache-2.0
// The one list of the agent's settings: name in the file, what is allowed, how it is set and shown.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/config.h"

namespace sluice {

struct FieldSpec {
  std::string path{};     // "snat.portMin"
  std::string allowed{};  // "a port, 1024 to 65535"
  bool is_list = false;
  // Empty, or what is wrong with one value (a list: with one of its values). The setting is changed
  // only where all are good.
  std::function<std::string(AgentConfig&, const std::vector<std::string>&)> set{};
  std::function<std::vector<std::string>(const AgentConfig&)> get{};
};

// In the order in which they are shown; fields of one group ("snat") are neighbours.
std::vector<FieldSpec> config_fields();

// "snat.portMin" -> "snat-port-min"
std::string flag_name(std::string_view path);

// The known name that takes the fewest changes to reach; empty where none is near.
std::string nearest(std::string_view name, const std::vector<std::string>& known);

}  // namespace sluice
