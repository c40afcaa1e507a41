// SPDX-License-Identifier: Apache-2.0
// One run of the plugin: check, ask the agent over its socket, print. The agent does the work.
#pragma once

#include <string>

#include "cni/netconf.h"
#include "lib/result/result.h"

namespace sluice::cni_plugin {

struct Outcome {
  int exit_code = 0;
  std::string output;  // for stdout
};

// config: all of stdin. Never throws; every failure is an error object in `output` and exit code 1.
Outcome run(const Environment& environment, const std::string& config);

// Puts a DEL on disk for the agent to replay: a file of its own, whole or not at all, durable when
// this returns.
Status queue_del(const std::string& directory, const cni::v1::CniRequest& request);

}  // namespace sluice::cni_plugin
