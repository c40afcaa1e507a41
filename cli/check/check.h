// SPDX-License-Identifier: Apache-2.0
// What `sluice check` looks at: one function an area, each only reads the host (or a namespace of
// its own) and never asks the agent.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bpf/abi/limits.h"
#include "cli/table.h"

namespace sluice::cli {

enum class Level : uint8_t { kOk, kWarn, kFail };

struct CheckResult {
  std::string area;  // "kernel", "host", "conflicts"
  std::string name;
  Level level = Level::kOk;
  std::string found;
  std::string next_step{};  // empty where all is well
};

// Where the host is read from, so that a test can bring its own.
struct CheckPlaces {
  std::string proc = "/proc";
  std::string sys_net = "/sys/class/net";
  std::string cni_conf = "/etc/cni/net.d";
  std::string bpffs = "/sys/fs/bpf";
  uint16_t snat_port_min = 10240;
  uint16_t snat_port_max = 29999;
  uint16_t overlay_port = TUNNEL_PORT;
};

// Kernel features, by trying them: loads programs and, in a network namespace that is thrown away,
// attaches them.
std::vector<CheckResult> check_kernel();
// Capabilities, mounts, sysctls.
std::vector<CheckResult> check_host(const CheckPlaces& places);
// Another CNI's configuration, devices and sockets.
std::vector<CheckResult> check_conflicts(const CheckPlaces& places);
// Other people's programs on the devices of the default routes.
std::vector<CheckResult> check_attached_programs(const CheckPlaces& places);

std::string_view level_name(Level level);  // "ok", "warn", "fail"

// Devices of the default routes, both families, without repeats.
std::vector<std::string> default_route_devices(const CheckPlaces& places);

}  // namespace sluice::cli
