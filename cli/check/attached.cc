// SPDX-License-Identifier: Apache-2.0
// Whose programs see the packets of the uplinks besides ours: TCX, and XDP before it.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "cli/check/check.h"
#include "lib/fd/fd.h"
#include "lib/verdict/names.h"

namespace sluice::cli {

namespace {

constexpr size_t kProgramsMax = 64;  // the kernel's own limit on a TCX hook

std::string program_name(uint32_t id) {
  const Fd program(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  __u32 size = sizeof(info);
  if (!program.valid() || bpf_prog_get_info_by_fd(program.get(), &info, &size) != 0 ||
      info.name[0] == '\0') {
    return "program " + std::to_string(id);
  }
  return info.name;
}

// The kernel keeps 15 characters of a name.
bool is_ours(const std::string& name) {
  return std::ranges::any_of(
      kHookNames, [&name](const NumberName& hook) { return name == hook.name.substr(0, 15); });
}

// Names of programs on one hook that are not ours, in the order in which they run; *error: errno, 0
// where it is known.
std::vector<std::string> others_on(unsigned ifindex, bpf_attach_type type, int* error) {
  std::array<__u32, kProgramsMax> ids{};
  LIBBPF_OPTS(bpf_prog_query_opts, options);
  options.prog_ids = ids.data();
  options.count = ids.size();
  *error = -bpf_prog_query_opts(static_cast<int>(ifindex), type, &options);
  std::vector<std::string> others;
  if (*error != 0) return others;
  for (__u32 i = 0; i < options.count && i < ids.size(); ++i) {
    std::string name = program_name(ids.at(i));
    if (!is_ours(name)) others.push_back(std::move(name));
  }
  return others;
}

CheckResult check_device(const std::string& device) {
  CheckResult result{.area = "conflicts",
                     .name = "programs on " + device,
                     .level = Level::kOk,
                     .found = "none of others"};
  const unsigned ifindex = if_nametoindex(device.c_str());
  std::string found;
  int error = 0;
  for (const auto& [type, hook] :
       {std::pair{BPF_TCX_INGRESS, "TCX ingress"}, std::pair{BPF_TCX_EGRESS, "TCX egress"}}) {
    for (const std::string& name : others_on(ifindex, type, &error)) {
      found += (found.empty() ? "" : ", ") + std::string(hook) + " " + name;
    }
    if (error == EPERM || error == EACCES) {
      result.level = Level::kWarn;
      result.found = "could not be read: " + std::string(std::strerror(error));
      result.next_step = "run as root";
      return result;
    }
  }
  __u32 xdp = 0;
  if (bpf_xdp_query_id(static_cast<int>(ifindex), 0, &xdp) == 0 && xdp != 0) {
    found += (found.empty() ? "" : ", ") + std::string("XDP ") + program_name(xdp);
  }
  if (found.empty()) return result;
  result.level = Level::kWarn;
  result.found = found;
  result.next_step = "it may drop or change packets before ours see them: bpftool net show dev " +
                     device + " names its owner";
  return result;
}

}  // namespace

std::vector<CheckResult> check_attached_programs(const CheckPlaces& places) {
  std::vector<CheckResult> results;
  const std::vector<std::string> devices = default_route_devices(places);
  if (devices.empty()) {
    results.push_back({.area = "conflicts",
                       .name = "default route",
                       .level = Level::kWarn,
                       .found = "none in IPv4 or IPv6: no device is taken for an uplink by itself",
                       .next_step = "add a route, or name the uplinks in /etc/sluice/agent.yaml"});
  }
  for (const std::string& device : devices) results.push_back(check_device(device));
  return results;
}

}  // namespace sluice::cli
