// SPDX-License-Identifier: Apache-2.0
// Signs of another CNI: its configuration, its devices, its hold of the overlay's port.
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "cli/check/check.h"

namespace sluice::cli {

namespace {

namespace fs = std::filesystem;
using Results = std::vector<CheckResult>;

constexpr std::string_view kOurList = "05-sluice.conflist";
constexpr std::string_view kOurOverlay = "sluice_vxlan";

void add(Results& results, CheckResult result) {
  result.area = "conflicts";
  results.push_back(std::move(result));
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// A list that chains our plugin is ours too, whatever its name.
bool names_our_plugin(const std::string& path) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return text.find("\"sluice-cni\"") != std::string::npos;
}

void check_lists(const CheckPlaces& places, Results& results) {
  std::vector<std::string> before;
  std::vector<std::string> after;
  for (const std::string& name : names_in(places.cni_conf)) {
    const std::string extension = fs::path(name).extension();
    if (extension != ".conf" && extension != ".conflist" && extension != ".json") continue;
    if (name == kOurList || names_our_plugin(places.cni_conf + "/" + name)) continue;
    (name < kOurList ? before : after).push_back(name);
  }
  if (!before.empty()) {
    add(results, {.area = "",
                  .name = "CNI configuration",
                  .level = Level::kFail,
                  .found = joined(before) + " sorts before " + std::string(kOurList) +
                           ": the runtime takes it instead of Sluice",
                  .next_step = "move it out of " + places.cni_conf});
  }
  if (!after.empty()) {
    add(results, {.area = "",
                  .name = "CNI configuration",
                  .level = Level::kWarn,
                  .found = joined(after) + " is there too",
                  .next_step = "the runtime falls back to it whenever " + std::string(kOurList) +
                               " is away: move it out of " + places.cni_conf});
  }
  if (before.empty() && after.empty()) {
    add(results, {.area = "",
                  .name = "CNI configuration",
                  .level = Level::kOk,
                  .found = "none of another plugin in " + places.cni_conf});
  }
}

struct OtherDevice {
  std::string_view name;
  bool is_prefix;
  std::string_view owner;
};

constexpr std::array<OtherDevice, 14> kOtherDevices = {{{"cilium_host", false, "Cilium"},
                                                        {"cilium_net", false, "Cilium"},
                                                        {"cilium_vxlan", false, "Cilium"},
                                                        {"lxc_health", false, "Cilium"},
                                                        {"cali", true, "Calico"},
                                                        {"vxlan.calico", false, "Calico"},
                                                        {"bpfin.cali", false, "Calico"},
                                                        {"flannel.1", false, "Flannel"},
                                                        {"flannel-v6.1", false, "Flannel"},
                                                        {"antrea-gw0", false, "Antrea"},
                                                        {"cni0", false, "the bridge plugin"},
                                                        {"weave", false, "Weave Net"},
                                                        {"kube-bridge", false, "kube-router"},
                                                        {"ovn-k8s-mp0", false, "OVN-Kubernetes"}}};

void check_devices(const CheckPlaces& places, Results& results) {
  bool found = false;
  const std::vector<std::string> devices = names_in(places.sys_net);
  for (const OtherDevice& other : kOtherDevices) {
    std::vector<std::string> theirs;
    for (const std::string& device : devices) {
      const bool is_theirs =
          other.is_prefix ? device.rfind(other.name, 0) == 0 : device == other.name;
      if (is_theirs) theirs.push_back(device);
    }
    if (theirs.empty()) continue;
    found = true;
    const size_t count = theirs.size();
    if (count > 3) theirs.resize(3);
    add(results, {.area = "",
                  .name = "devices",
                  .level = Level::kWarn,
                  .found = joined(theirs) +
                           (count > 3 ? " and " + std::to_string(count - 3) + " more" : "") +
                           " of " + std::string(other.owner),
                  .next_step = "pods that it connected stay with it until they are made anew; "
                               "uninstall it, then remove its devices or restart the node"});
  }
  if (!found) {
    add(results, {.area = "",
                  .name = "devices",
                  .level = Level::kOk,
                  .found = "none of another CNI plugin"});
  }
}

// Whether a process has one of these sockets open ("socket:[4711]"). A tunnel device's socket is
// the kernel's own: it may have an inode too, but nobody has it open.
bool is_open(const CheckPlaces& places, const std::set<std::string>& sockets) {
  for (const std::string& process : names_in(places.proc)) {
    if (process.find_first_not_of("0123456789") != std::string::npos) continue;
    const fs::path folder = fs::path(places.proc) / process / "fd";
    for (const std::string& fd : names_in(folder)) {
      std::error_code error;
      if (sockets.contains(fs::read_symlink(folder / fd, error).string())) return true;
    }
  }
  return false;
}

struct UdpHolder {
  bool taken = false;
  bool by_kernel = false;
};

// Grammar: udp = title line, then "sl: ADDRESS:PORT remote state queue timer retransmit uid timeout
// inode ...".
UdpHolder udp_holder(const CheckPlaces& places, uint16_t port) {
  UdpHolder holder;
  std::set<std::string> sockets;
  for (const char* family : {"/net/udp", "/net/udp6"}) {
    std::ifstream file(places.proc + family);
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
      std::istringstream fields(line);
      std::vector<std::string> all;
      for (std::string field; fields >> field;) all.push_back(field);
      if (all.size() < 10) continue;
      const size_t colon = all[1].rfind(':');
      uint32_t local = 0;
      std::istringstream(all[1].substr(colon + 1)) >> std::hex >> local;
      if (colon == std::string::npos || local != port) continue;
      holder.taken = true;
      sockets.insert("socket:[" + all[9] + "]");
    }
  }
  holder.by_kernel = holder.taken && !is_open(places, sockets);
  return holder;
}

void check_overlay_port(const CheckPlaces& places, Results& results) {
  const UdpHolder holder = udp_holder(places, places.overlay_port);
  const std::vector<std::string> devices = names_in(places.sys_net);
  const bool ours =
      holder.by_kernel && std::find(devices.begin(), devices.end(), kOurOverlay) != devices.end();
  const std::string name = "UDP " + std::to_string(places.overlay_port);
  if (!holder.taken || ours) {
    add(results, {.area = "",
                  .name = name,
                  .level = Level::kOk,
                  .found = ours ? "held by " + std::string(kOurOverlay) : "free"});
    return;
  }
  add(results,
      {.area = "",
       .name = name,
       .level = Level::kFail,
       .found = holder.by_kernel ? "held by a tunnel device that is not ours" : "held by a process",
       .next_step = holder.by_kernel ? "ip -d link show type vxlan names it; remove it, or use "
                                       "routing: native"
                                     : "ss -lunp 'sport = :" + std::to_string(places.overlay_port) +
                                           "' names it; stop it, or use routing: native"});
}

}  // namespace

std::vector<CheckResult> check_conflicts(const CheckPlaces& places) {
  Results results;
  check_lists(places, results);
  check_devices(places, results);
  check_overlay_port(places, results);
  return results;
}

}  // namespace sluice::cli
