// SPDX-License-Identifier: Apache-2.0
// A kubeconfig file as access to a cluster. Nothing in it is ever run.
#pragma once

#include <string>
#include <string_view>

#include "operator/source/kube/credentials.h"

namespace sluice {

// text: the content; file: its path, for errors and as the folder of relative paths in it. Uses
// `current-context`. kInvalid names the field: what is missing, of another type, refers to an entry
// that is not there, or needs what is refused here (exec and auth-provider plugins, passwords,
// impersonation, proxies, certificates that are not verified).
Result<ClusterAccess> parse_kubeconfig(std::string_view file, std::string_view text);
Result<ClusterAccess> read_kubeconfig(const std::string& file);

}  // namespace sluice
