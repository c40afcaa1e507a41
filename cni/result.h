// SPDX-License-Identifier: Apache-2.0
// The JSON that sluice-cni prints: a result in exactly the configuration's version, an error, or
// the versions. Pure.
#pragma once

#include <string>

#include "cni/netconf.h"
#include "cni/v1/cni.pb.h"

namespace sluice::cni_plugin {

// The result of ADD: what the plugins in front made (conf.previous_result), then ours, so that it
// is complete for the plugins behind. Fields that conf.version does not know are left out.
std::string add_result(const NetConf& conf, const cni::v1::CniResponse& response);
std::string error_result(const std::string& version, const Failure& failure);
std::string version_result(const std::string& version);

}  // namespace sluice::cni_plugin
