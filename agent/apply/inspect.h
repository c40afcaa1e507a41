// SPDX-License-Identifier: Apache-2.0
// Looks at what the kernel really has for one pod: rows and attached programs. For CHECK.
#pragma once

#include <string>
#include <vector>

#include "agent/apply/reader.h"
#include "agent/desired/desired.h"

namespace sluice {

// One sentence for each row or program of this pod that is missing or wrong, or that its device is
// down; empty: all there.
// Thread: any.
std::vector<std::string> datapath_problems(const DatapathReader& reader,
                                           const LocalEndpoint& endpoint);

// What a pod needs of the rest of the node: the host's routes to its addresses, and the programs on
// the devices (uplinks, overlay) that lead to everything else. One sentence each. Thread: any.
std::vector<std::string> node_problems(const LocalEndpoint& endpoint,
                                       const std::vector<uint32_t>& devices);

}  // namespace sluice
