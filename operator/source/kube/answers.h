// SPDX-License-Identifier: Apache-2.0
// What an answer of the API server means for who watches, and how it is asked.
#pragma once

#include <string>
#include <string_view>

#include "operator/source/kube/body.h"

namespace sluice {

// Resource versions are numbers of one history; where one is not, nothing is said of their order.
bool is_older(const std::string& version, const std::string& than);
// The server's own view is older than ours: it lags behind or its history was put back.
bool is_version_too_large(const ApiStatus& status);
// The label of a refusal in metrics: "expired", "throttled", ...
const char* reason_of(int status);
// A value of a query.
std::string escaped(std::string_view text);

}  // namespace sluice
