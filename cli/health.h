// SPDX-License-Identifier: Apache-2.0
// Between the agent's answers and `sluice status`: what is wrong, with which object, and what to
// do. Pure.
#pragma once

#include "admin/v1/admin.pb.h"

namespace sluice::cli {

// Fills healthy and problems of `status`, failures first. now_ms: wall clock, for ages.
void conclude(admin::v1::StatusResponse& status, const admin::v1::EndpointsResponse& endpoints,
              int64_t now_ms);

}  // namespace sluice::cli
