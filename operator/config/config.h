// SPDX-License-Identifier: Apache-2.0
// Settings of the operator from flags, checked before anything starts.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "lib/result/result.h"
#include "operator/source/kube/credentials.h"

namespace sluice {

struct OperatorConfig {
  std::string kubeconfig{};  // empty: a pod's service account
  std::string service_account_dir = PodEnvironment{}.folder;
  std::vector<std::string> api_servers{};  // empty: as the kubeconfig or the pod's environment says
  std::string namespace_name = "kube-system";  // of the Lease, the Secret and the ConfigMap
  std::string identity{};                      // of this replica; empty: the host's name
  std::string agent_account = "sluice-agent";  // service account, in the same namespace
  std::string listen = "[::]:4250";
  std::string metrics_address = "[::]:9964";  // empty: off
  std::string tls_dir = "/run/sluice-operator";
  std::string log_level = "info";
};

// One flag for each setting; what is given is written to `config` while `app` parses. config must
// outlive app.
void add_flags(CLI::App& app, OperatorConfig& config);
// kInvalid: one line for each error, naming the flag and what is allowed. Pure.
Status check_config(const OperatorConfig& config);
// Where the API server is and who we are to it. host, port: of the pod's environment.
Result<ClusterAccess> cluster_access(const OperatorConfig& config, const std::string& host,
                                     const std::string& port);

}  // namespace sluice
