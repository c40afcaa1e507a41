// SPDX-License-Identifier: Apache-2.0
// Inside apply: sysctls and MTUs of the node's stack that forwarding to pods needs.
#include <map>

#include "agent/apply/host.h"
#include "agent/desired/ipv6_mtu.h"
#include "lib/fd/fd.h"

namespace sluice {

namespace {

const std::string kProc = "/proc/sys/net/";

Result<std::string> read_sysctl(const std::string& path) {
  auto value = read_file(path);
  if (!value) return value;
  while (!value->empty() && value->back() == '\n') value->pop_back();
  return value;
}

// proc files take one write and no temporary file next to them.
Status write_sysctl(const std::string& path, const std::string& value) {
  FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) return fail(from_errno("open sysctl " + path));
  const bool put = std::fputs(value.c_str(), file) >= 0;
  const int put_errno = errno;
  const bool flushed = std::fclose(file) == 0;
  if (put && flushed) return {};
  return fail(from_errno("set sysctl " + path + " to " + value, put ? errno : put_errno));
}

}  // namespace

Status HostSettings::set(const std::string& path, const std::string& value, ApplyReport& report) {
  const std::string full = kProc + path;
  const auto now = read_sysctl(full);
  if (!now) return fail(within("read sysctl", now.error()));
  if (*now == value) return {};
  auto written = write_sysctl(full, value);
  if (written) report.written++;
  return written;
}

Status HostSettings::set_foreign(const std::string& path, const std::string& value,
                                 ApplyReport& report) {
  const auto now = read_sysctl(kProc + path);
  if (!now) return fail(within("read sysctl", now.error()));
  if (*now == value) return {};
  if (auto kept = memory_.remember_sysctl(path, *now, value); !kept) return kept;
  return set(path, value, report);
}

// Turning on forwarding makes the kernel ignore router advertisements; an uplink that lived by them
// gets the setting that keeps them, before that.
void HostSettings::write_node(const Rows& rows, ApplyReport& report) {
  record(report, "sysctl ipv4/ip_forward", 0, set_foreign("ipv4/ip_forward", "1", report));
  if (rows.config.ipv6 == 0) return;
  const auto forwarding = read_sysctl(kProc + "ipv6/conf/all/forwarding");
  if (!forwarding) return record(report, "sysctl ipv6", 0, forwarding.error());
  if (*forwarding == "1") return;
  for (const auto& [ifindex, role] : rows.attachments) {
    const auto link = links_.find(ifindex);
    if (role != DeviceRole::kUplink || link == links_.end()) continue;
    const std::string path = "ipv6/conf/" + link->second.name + "/accept_ra";
    const auto accepts = read_sysctl(kProc + path);
    if (!accepts || *accepts != "1") continue;
    record(report, "sysctl " + path, ifindex, set_foreign(path, "2", report));
  }
  record(report, "sysctl ipv6/conf/all/forwarding", 0,
         set_foreign("ipv6/conf/all/forwarding", "1", report));
}

// Pods and remote pods speak from addresses for which the device may not hold the way back.
void HostSettings::write_device(const LinkInfo& link, bool ipv6, ApplyReport& report) {
  std::vector<std::pair<std::string, std::string>> wanted = {
      {"ipv4/conf/" + link.name + "/rp_filter", "0"},
      {"ipv4/conf/" + link.name + "/forwarding", "1"},
      {"ipv4/conf/" + link.name + "/send_redirects", "0"}};
  if (ipv6) {
    wanted.emplace_back("ipv6/conf/" + link.name + "/accept_ra", "0");
    wanted.emplace_back("ipv6/conf/" + link.name + "/accept_redirects", "0");
    wanted.emplace_back("ipv6/conf/" + link.name + "/forwarding", "1");
  }
  bool all = true;
  for (const auto& [path, value] : wanted) {
    const auto done = set(path, value, report);
    all = all && done;
    record(report, "sysctl " + path, link.ifindex, done);
  }
  if (all) settled_.insert_or_assign(link.ifindex, ipv6);
}

void HostSettings::write_mtu(LinkInfo& link, uint32_t mtu, ApplyReport& report) {
  if (mtu == 0 || link.mtu == mtu) return;
  const auto set_mtu = netlink_.set_link_mtu(link.ifindex, mtu);
  record(report, "device " + link.name + " mtu", link.ifindex, set_mtu);
  if (!set_mtu) return;
  report.written++;
  link.mtu = mtu;
}

void HostSettings::write(const Rows& rows, ApplyReport& report) {
  links_.clear();
  const auto found = netlink_.links();
  if (!found) return record(report, "devices", 0, found.error());
  for (const LinkInfo& link : *found) links_.emplace(link.ifindex, link);
  write_node(rows, report);
  std::erase_if(settled_, [&](const auto& each) { return !links_.contains(each.first); });
  for (const auto& [ifindex, role] : rows.attachments) {
    const auto found_link = links_.find(ifindex);
    if (role == DeviceRole::kUplink || found_link == links_.end()) continue;
    LinkInfo& link = found_link->second;
    const auto own = rows.own_mtus.find(ifindex);
    if (role == DeviceRole::kPod)
      write_mtu(link, own == rows.own_mtus.end() ? rows.pod_mtu : own->second, report);
    // A device below IPv6's smallest MTU has no such settings.
    const bool ipv6 = rows.config.ipv6 != 0 && link.mtu >= kIpv6MtuMin;
    const auto settled = settled_.find(ifindex);
    if (settled == settled_.end() || settled->second != ipv6) write_device(link, ipv6, report);
  }
}

void restore_sysctls(const HostMemory& memory, ApplyReport& report) {
  for (const auto& [path, change] : memory.sysctls()) {
    const auto now = read_sysctl(kProc + path);
    if (!now && now.error().code == ErrorCode::kNotFound) continue;
    Status done = now ? Status() : Status(fail(within("read sysctl", now.error())));
    if (now && *now == change.ours) done = write_sysctl(kProc + path, change.former);
    record(report, "sysctl " + path, 0, done);
  }
}

}  // namespace sluice
