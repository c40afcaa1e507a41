// SPDX-License-Identifier: Apache-2.0
// What kube_watch prints: objects, changes and figures as JSON.
#pragma once

#include <nlohmann/json.hpp>

#include "operator/source/kube/source.h"

namespace sluice {

nlohmann::json to_json(const SourceObject& object);
nlohmann::json to_json(const Reflector& reflector);
nlohmann::json to_json(const ApiClientMetrics& metrics);

}  // namespace sluice
