// SPDX-License-Identifier: Apache-2.0
// Capabilities, mounts and sysctls, read from /proc.
#include <linux/capability.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "cli/check/check.h"
#include "lib/fd/fd.h"

namespace sluice::cli {

namespace {

using Results = std::vector<CheckResult>;

void add(Results& results, CheckResult result) {
  result.area = "host";
  results.push_back(std::move(result));
}

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

void check_capabilities(const CheckPlaces& places, Results& results) {
  uint64_t effective = 0;
  std::ifstream status(places.proc + "/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("CapEff:", 0) != 0) continue;
    std::istringstream(line.substr(7)) >> std::hex >> effective;
  }
  constexpr std::array<std::pair<int, const char*>, 4> kNeeded = {
      {{CAP_BPF, "CAP_BPF"},
       {CAP_PERFMON, "CAP_PERFMON"},
       {CAP_NET_ADMIN, "CAP_NET_ADMIN"},
       {CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}}};
  std::string missing;
  for (const auto& [bit, name] : kNeeded) {
    if ((effective >> bit & 1U) == 0) missing += (missing.empty() ? "" : ", ") + std::string(name);
  }
  const bool whole = missing.empty();
  add(results, {.area = "",
                .name = "capabilities",
                .level = whole ? Level::kOk : Level::kFail,
                .found = whole ? "all that the agent needs" : "missing: " + missing,
                .next_step = whole ? ""
                                   : "run as root: sudo sluice check; what needs them "
                                     "is judged wrongly below"});
}

void check_mounts(const CheckPlaces& places, Results& results) {
  std::string bpffs;
  std::string cgroup2;
  std::ifstream mounts(places.proc + "/self/mounts");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string source;
    std::string where;
    std::string type;
    fields >> source >> where >> type;
    if (type == "bpf" && where == places.bpffs) bpffs = where;
    if (type == "cgroup2" && cgroup2.empty()) cgroup2 = where;
  }
  add(results, {.area = "",
                .name = "bpffs",
                .level = bpffs.empty() ? Level::kFail : Level::kOk,
                .found = bpffs.empty() ? "not mounted on " + places.bpffs : bpffs,
                .next_step = bpffs.empty() ? "mount -t bpf bpf " + places.bpffs +
                                                 " (and in /etc/fstab: a restart of the "
                                                 "agent finds its programs there)"
                                           : ""});
  add(results, {.area = "",
                .name = "cgroup2",
                .level = cgroup2.empty() ? Level::kWarn : Level::kOk,
                .found = cgroup2.empty() ? "not mounted" : cgroup2,
                .next_step = cgroup2.empty() ? "mount -t cgroup2 cgroup2 /sys/fs/cgroup: programs "
                                               "on sockets attach there"
                                             : ""});
}

void check_forwarding(const CheckPlaces& places, Results& results) {
  constexpr std::array<std::pair<const char*, const char*>, 2> kSysctls = {
      {{"net/ipv4/ip_forward", "net.ipv4.ip_forward"},
       {"net/ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"}}};
  for (const auto& [path, name] : kSysctls) {
    const auto value = first_line(places.proc + "/sys/" + path);
    if (!value) {
      add(results, {.area = "",
                    .name = name,
                    .level = Level::kWarn,
                    .found = "not there: the kernel has no such family",
                    .next_step = "leave this family off in /etc/sluice/agent.yaml"});
      continue;
    }
    const bool on = *value != "0";
    add(results, {.area = "",
                  .name = name,
                  .level = on ? Level::kOk : Level::kWarn,
                  .found = *value,
                  .next_step = on ? ""
                                  : "pods reach nothing outside their node without it: sysctl -w " +
                                        std::string(name) + "=1"});
  }
}

void check_rp_filter(const CheckPlaces& places, Results& results) {
  const auto value = first_line(places.proc + "/sys/net/ipv4/conf/all/rp_filter");
  const bool strict = value.value_or("0") == "1";
  add(results, {.area = "",
                .name = "net.ipv4.conf.all.rp_filter",
                .level = strict ? Level::kWarn : Level::kOk,
                .found = value.value_or("not there") + (strict ? " (strict)" : ""),
                .next_step = strict ? "answers that take another device than the route are lost: "
                                      "sysctl -w net.ipv4.conf.all.rp_filter=2"
                                    : ""});
}

// "1000-2000,3000" as the set of ports.
std::set<uint32_t> reserved_ports(const std::string& text) {
  std::set<uint32_t> ports;
  std::istringstream ranges(text);
  for (std::string range; std::getline(ranges, range, ',');) {
    uint32_t low = 0;
    uint32_t high = 0;
    char dash = 0;
    std::istringstream parts(range);
    if (!(parts >> low)) continue;
    if (!(parts >> dash >> high)) high = low;
    for (uint32_t port = low; port <= high && port <= 65535; ++port) ports.insert(port);
  }
  return ports;
}

void check_ports(const CheckPlaces& places, Results& results) {
  const std::string sys = places.proc + "/sys/net/ipv4/";
  uint32_t low = 0;
  uint32_t high = 0;
  std::istringstream(first_line(sys + "ip_local_port_range").value_or("")) >> low >> high;
  const auto reserved = reserved_ports(first_line(sys + "ip_local_reserved_ports").value_or(""));
  uint32_t shared = 0;
  for (uint32_t port = std::max<uint32_t>(low, places.snat_port_min);
       port <= std::min<uint32_t>(high, places.snat_port_max); ++port) {
    if (!reserved.contains(port)) ++shared;
  }
  const std::string ours =
      std::to_string(places.snat_port_min) + "-" + std::to_string(places.snat_port_max);
  const std::string range = std::to_string(low) + "-" + std::to_string(high);
  add(results, {.area = "",
                .name = "source ports",
                .level = shared == 0 ? Level::kOk : Level::kWarn,
                .found = shared == 0 ? "host " + range + ", translation " + ours + ": apart"
                                     : "the host's " + range + " and translation's " + ours +
                                           " share " + std::to_string(shared) + " ports",
                .next_step = shared == 0 ? ""
                                         : "sysctl -w net.ipv4.ip_local_reserved_ports=" + ours +
                                               ", or choose other snat.portMin and snat.portMax"});
}

void check_jit(const CheckPlaces& places, Results& results) {
  const auto value = first_line(places.proc + "/sys/net/core/bpf_jit_enable");
  const bool off = value.value_or("1") == "0";
  add(results, {.area = "",
                .name = "net.core.bpf_jit_enable",
                .level = off ? Level::kWarn : Level::kOk,
                .found = value.value_or("always on"),
                .next_step = off ? "programs are interpreted, several times slower: sysctl -w "
                                   "net.core.bpf_jit_enable=1"
                                 : ""});
}

}  // namespace

std::vector<CheckResult> check_host(const CheckPlaces& places) {
  Results results;
  check_capabilities(places, results);
  check_mounts(places, results);
  check_forwarding(places, results);
  check_rp_filter(places, results);
  check_ports(places, results);
  check_jit(places, results);
  return results;
}

}  // namespace sluice::cli
