// SPDX-License-Identifier: Apache-2.0
// Settings of the agent from /etc/sluice/agent.yaml and flags, checked before anything starts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/desired/desired.h"
#include "bpf/abi/ct.h"
#include "bpf/abi/limits.h"
#include "lib/result/result.h"

namespace sluice {

inline constexpr const char* kDefaultConfigPath = "/etc/sluice/agent.yaml";

enum class AttachMode : uint8_t { kAuto, kTcx, kClsact };

// Where intent comes from in a cluster.
struct OperatorAccess {
  std::vector<std::string> addresses{};  // HOST:PORT of each replica; empty: standalone
  // As one projected volume gives them: the operators' authorities and the agent's own token.
  std::string authorities_file = "/var/run/secrets/sluice/authorities.crt";
  std::string token_file = "/var/run/secrets/sluice/token";
};

struct AgentConfig {
  NodeSettings node{};  // nodeName, routing, ipv4, ipv6, mtu, snat, noTranslateCidrs, tunnel.vni
  std::string standalone_dir{};  // empty: intent comes from the operator
  OperatorAccess operator_access{};
  std::vector<std::string> devices{};  // names or patterns; empty: found
  std::string bpffs = "/sys/fs/bpf";
  std::string state_dir = "/var/lib/sluice";
  std::string run_dir = "/run/sluice";
  std::string cni_conf_dir = "/etc/cni/net.d";
  std::string cni_bin_dir = "/opt/cni/bin";
  std::string cni_binary{};  // what is installed as <cni_bin_dir>/sluice-cni; empty: sluice-cni
                             // beside the agent's binary
  bool install_cni = true;
  uint32_t conntrack_max_entries = CT_MAX_DEFAULT;
  ct_timeouts conntrack_timeouts = CT_TIMEOUTS_DEFAULT;
  std::string metrics_address = "[::]:9962";  // of both families; empty: off
  uint32_t flows_buffer_entries = 4095;
  std::string log_level = "info";  // trace, debug, info, warn, error, off
  AttachMode attach = AttachMode::kAuto;
};

// Values by field path ("snat.portMin"), as flags give them.
using FieldValues = std::map<std::string, std::vector<std::string>>;

struct ConfigSources {
  std::optional<std::string> path{};  // --config; absent: kDefaultConfigPath, which need not exist
  FieldValues flags;                  // stronger than the file
  std::string hostname{};             // nodeName where neither names it
};

// Pure. file_name is for the messages. kInvalid: one line for each error: file:line:column, the
// field and what is allowed. Fields that are absent keep the value that `config` has.
Status parse_config(std::string_view file_name, std::string_view text, AgentConfig& config);
// Pure. The same for flags; the messages name the flag.
Status apply_flags(const FieldValues& flags, AgentConfig& config);
// Checks between fields. Pure.
Status check_config(const AgentConfig& config);
// What running needs beyond that; `config` and `cleanup` go without. Pure.
Status check_runnable(const AgentConfig& config);
// All of these but the last, with the file read. kNotFound where a file that was asked for is not
// there.
Result<AgentConfig> load_config(const ConfigSources& sources);

// Ports of source translation against what the host itself uses. Pure.
// local_port_range: text of net.ipv4.ip_local_port_range ("32768\t60999"); reserved: of
// ip_local_reserved_ports ("8080,9000-9010"). kInvalid: a port may also be taken by a socket of the
// host. Result: warnings (NodePort range of Kubernetes).
Result<std::vector<std::string>> check_snat_ports(const NodeSettings& node,
                                                  std::string_view local_port_range,
                                                  std::string_view reserved);

// The effective settings as YAML that parse_config takes back.
std::string describe(const AgentConfig& config);

std::string_view name(AttachMode mode);

}  // namespace sluice
