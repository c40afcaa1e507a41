// SPDX-License-Identifier: Apache-2.0
// Inside apply: what the node must offer before anything is changed.
#pragma once

#include <string>
#include <string_view>

#include "agent/apply/datapath.h"
#include "lib/result/result.h"

namespace sluice {

// proc_status: content of /proc/<pid>/status. kPermission names all that are missing.
Status check_capabilities(std::string_view proc_status);
// kUnavailable says how to mount it.
Status check_bpffs(const std::string& path);
// kExists where pins of another layout are left: their programs would see each packet as well.
Status check_layouts(const std::string& bpffs);
Status check_options(const DatapathOptions& options);

}  // namespace sluice
