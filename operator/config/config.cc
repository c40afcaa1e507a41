// SPDX-License-Identifier: Apache-2.0
// Settings of the operator.
#include "operator/config/config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "lib/ip/ip.h"
#include "lib/labels/labels.h"
#include "operator/source/kube/kubeconfig.h"

namespace sluice {
namespace {

constexpr std::array<std::string_view, 6> kLogLevels = {"trace", "debug", "info",
                                                        "warn",  "error", "off"};
constexpr const char* kListenAllowed =
    "ADDRESS:PORT such as \"192.0.2.1:4250\" or \"[::]:4250\" (every address of both families)";

bool is_address_port(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return false;
  std::string host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = parse_address(host);
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
  return address && address->is_ipv4() != bracketed && parsed.ec == std::errc() &&
         parsed.ptr == end && port != 0;
}

bool is_absolute(const std::string& path) {
  return path.starts_with('/');
}

class Checks {
 public:
  void require(bool good, const char* flag, const std::string& value, const std::string& allowed) {
    if (good) return;
    text_ += (text_.empty() ? "" : "\n") + std::string("flag ") + flag + ": \"" + value +
             "\" is not allowed; allowed: " + allowed;
  }
  Status result() const {
    if (text_.empty()) return {};
    return fail(ErrorCode::kInvalid, text_);
  }

 private:
  std::string text_;
};

}  // namespace

void add_flags(CLI::App& app, OperatorConfig& config) {
  app.add_option("--kubeconfig", config.kubeconfig,
                 "kubeconfig file; without it: the service account of this pod");
  app.add_option("--service-account-dir", config.service_account_dir,
                 "folder of the service account's token and ca.crt")
      ->capture_default_str();
  app.add_option("--api-server", config.api_servers,
                 "API server, https://HOST:PORT; once for each, tried in order")
      ->allow_extra_args(false);
  app.add_option("--namespace", config.namespace_name,
                 "namespace of the Lease, the Secret and the ConfigMap")
      ->capture_default_str();
  app.add_option("--identity", config.identity, "name of this replica (default: the host's)");
  app.add_option("--agent-account", config.agent_account,
                 "service account of the agents, in the same namespace")
      ->capture_default_str();
  app.add_option("--listen", config.listen, "where agents connect")->capture_default_str();
  app.add_option("--metrics-address", config.metrics_address,
                 "where /metrics and /healthz are; \"\": nowhere")
      ->capture_default_str();
  app.add_option("--tls-dir", config.tls_dir,
                 "folder for this replica's key and certificate, best in memory")
      ->capture_default_str();
  app.add_option("--log-level", config.log_level, "trace, debug, info, warn, error, off")
      ->capture_default_str();
}

Status check_config(const OperatorConfig& config) {
  Checks checks;
  for (const std::string& server : config.api_servers) {
    const auto checked = check_server(server);
    checks.require(checked.has_value(), "--api-server", server,
                   "https://HOST:PORT, without a path");
  }
  checks.require(is_absolute(config.service_account_dir), "--service-account-dir",
                 config.service_account_dir, "an absolute path");
  checks.require(is_dns_label(config.namespace_name), "--namespace", config.namespace_name,
                 "the name of a namespace");
  checks.require(is_dns_subdomain(config.agent_account), "--agent-account", config.agent_account,
                 "the name of a service account");
  checks.require(is_dns_subdomain(config.identity), "--identity", config.identity,
                 "a name of lower-case letters, digits, '-', '.'");
  checks.require(is_address_port(config.listen), "--listen", config.listen, kListenAllowed);
  checks.require(config.metrics_address.empty() || is_address_port(config.metrics_address),
                 "--metrics-address", config.metrics_address,
                 std::string(kListenAllowed) + ", or \"\": off");
  checks.require(is_absolute(config.tls_dir), "--tls-dir", config.tls_dir, "an absolute path");
  checks.require(
      std::find(kLogLevels.begin(), kLogLevels.end(), config.log_level) != kLogLevels.end(),
      "--log-level", config.log_level, "trace, debug, info, warn, error, off");
  return checks.result();
}

Result<ClusterAccess> cluster_access(const OperatorConfig& config, const std::string& host,
                                     const std::string& port) {
  if (config.kubeconfig.empty()) {
    auto access = pod_access({.folder = config.service_account_dir, .host = host, .port = port},
                             config.api_servers);
    if (!access) return fail(within("flags --kubeconfig, --api-server", access.error()));
    return access;
  }
  auto access = read_kubeconfig(config.kubeconfig);
  if (!access) return fail(within("flag --kubeconfig", access.error()));
  if (!config.api_servers.empty()) access->servers = config.api_servers;
  return access;
}

}  // namespace sluice
