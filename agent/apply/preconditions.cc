// SPDX-License-Identifier: Apache-2.0
// Inside apply: what the node must offer before anything is changed.
#include "agent/apply/preconditions.h"

#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/statfs.h>

#include <array>
#include <charconv>
#include <filesystem>
#include <utility>

#include "agent/apply/maps.h"
#include "lib/fd/fd.h"

namespace sluice {

namespace {

constexpr std::array<std::pair<unsigned, const char*>, 3> kCapabilities{
    {{CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, {CAP_BPF, "CAP_BPF"}}};

Result<uint64_t> effective_capabilities(std::string_view proc_status) {
  constexpr std::string_view kLabel = "CapEff:";
  const auto at = proc_status.find(kLabel);
  if (at == std::string_view::npos) {
    return fail(ErrorCode::kInvalid, "process status: has no CapEff line");
  }
  std::string_view rest = proc_status.substr(at + kLabel.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
  uint64_t mask = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), mask, 16);
  if (error != std::errc()) {
    return fail(ErrorCode::kInvalid, "process status: CapEff is no hexadecimal number");
  }
  return mask;
}

bool is_power_of_two(uint32_t value) {
  return value != 0 && (value & (value - 1)) == 0;
}

}  // namespace

Status check_capabilities(std::string_view proc_status) {
  const auto mask = effective_capabilities(proc_status);
  if (!mask) return fail(mask.error());
  std::string missing;
  for (const auto& [bit, label] : kCapabilities) {
    if ((*mask >> bit & 1U) == 0) missing += (missing.empty() ? "" : ", ") + std::string(label);
  }
  if (missing.empty()) return {};
  return fail(ErrorCode::kPermission,
              "capabilities: missing " + missing + ": run as root, in a container as privileged");
}

Status check_bpffs(const std::string& path) {
  struct statfs found{};
  const std::string step = ": mount it with `mount -t bpf bpf " + path + "`";
  if (::statfs(path.c_str(), &found) != 0) {
    const Error error = from_errno("bpffs " + path);
    return fail(ErrorCode::kUnavailable, error.message() + step);
  }
  if (static_cast<uint64_t>(found.f_type) == BPF_FS_MAGIC) return {};
  return fail(ErrorCode::kUnavailable, "bpffs " + path + ": is no BPF file system" + step);
}

Status check_layouts(const std::string& bpffs) {
  const std::string ours = pin_folder(bpffs);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(pin_root(bpffs), error)) {
    const std::string path = entry.path().string();
    if (path == ours || entry.path().filename().string().front() != 'v') continue;
    return fail(ErrorCode::kExists, "pins in " + path + ": are of another layout than v" +
                                        std::to_string(SLUICE_LAYOUT) +
                                        ": run sluice-agent cleanup or upgrade");
  }
  return {};
}

Status check_options(const DatapathOptions& options) {
  const auto& mode = options.attach;
  if (mode != "auto" && mode != "tcx" && mode != "clsact") {
    return fail(ErrorCode::kInvalid, "attach \"" + mode + "\": must be auto, tcx or clsact");
  }
  const std::array<std::pair<const char*, uint32_t>, 7> sizes{
      {{"endpoint_max_entries", options.endpoint_max_entries},
       {"device_max_entries", options.device_max_entries},
       {"identity_max_entries", options.identity_max_entries},
       {"ct_max_entries", options.ct_max_entries},
       {"nat_max_entries", options.nat_max_entries},
       {"frag_max_entries", options.frag_max_entries},
       {"drops_max_entries", options.drops_max_entries}}};
  for (const auto& [field, value] : sizes) {
    if (value == 0) return fail(ErrorCode::kInvalid, std::string(field) + ": must not be 0");
  }
  if (options.events_bytes < 4096 || !is_power_of_two(options.events_bytes)) {
    return fail(ErrorCode::kInvalid, "events_bytes " + std::to_string(options.events_bytes) +
                                         ": must be a power of two of at least 4096");
  }
  return {};
}

std::vector<Error> missing_preconditions(const DatapathOptions& options) {
  std::vector<Error> missing;
  const auto add = [&missing](const Status& status) {
    if (!status) missing.push_back(status.error());
  };
  add(check_options(options));
  const auto status = read_file("/proc/thread-self/status");
  add(status ? check_capabilities(*status) : Status(fail(status.error())));
  const auto mounted = check_bpffs(options.bpffs);
  add(mounted);
  if (mounted) add(check_layouts(options.bpffs));
  return missing;
}

}  // namespace sluice
