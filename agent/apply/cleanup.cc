// SPDX-License-Identifier: Apache-2.0
// Removes everything of ours from a node, of this layout and of any other, and nothing else.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "agent/apply/attach.h"
#include "agent/apply/datapath.h"
#include "agent/apply/host.h"
#include "agent/apply/maps.h"
#include "agent/apply/preconditions.h"
#include "agent/desired/pod_device.h"

namespace sluice {

namespace {

// Deletes the pins below <bpffs>/sluice: with its pin a link lets go of its device.
void remove_pins(const std::string& root, ApplyReport& report) {
  std::error_code error;
  if (!std::filesystem::exists(root, error)) return;
  const auto removed = std::filesystem::remove_all(root, error);
  if (error) return record(report, root, 0, from_errno("remove pins " + root, error.value()));
  report.deleted += removed;
}

void remove_filters(Netlink& netlink, HostMemory& memory, ApplyReport& report) {
  ClsactAttacher clsact(netlink, memory);
  record(report, "filters", 0, clsact.refresh());
  for (const Slot& slot : clsact.slots()) {
    const auto gone = clsact.detach(slot);
    if (gone) report.deleted++;
    record(report, slot_text(slot), slot.ifindex, gone);
  }
  remove_empty_qdiscs(netlink, memory, report);
}

void remove_devices(Netlink& netlink, ApplyReport& report) {
  const auto links = netlink.links();
  if (!links) return record(report, "devices", 0, links.error());
  for (const LinkInfo& link : *links) {
    const bool overlay = link.name == kOverlayDevice && link.alias == kOverlayAlias;
    if (!overlay && !looks_like_ours(link)) continue;
    const auto gone = netlink.delete_link(link.ifindex);
    if (gone) report.deleted++;
    if (!gone && gone.error().code != ErrorCode::kNotFound) {
      record(report, "device " + link.name, link.ifindex, gone);
    }
  }
}

}  // namespace

Status cleanup(const DatapathOptions& options) {
  ApplyReport report;
  auto netlink = Netlink::open();
  if (!netlink) return fail(within("cleanup", netlink.error()));
  auto memory = HostMemory::open(options.state_dir);
  if (!memory) return fail(within("cleanup", memory.error()));
  HostRoutes routes(*netlink);
  routes.write(Rows{}, report);
  routes.remove_unwanted(Rows{}, report);
  remove_filters(*netlink, *memory, report);
  // Without a bpffs there are no pins, and a plain folder of that name is not ours to delete.
  if (check_bpffs(options.bpffs)) remove_pins(pin_root(options.bpffs), report);
  remove_devices(*netlink, report);
  restore_sysctls(*memory, report);
  if (auto done = report.status(); !done) return fail(within("cleanup", done.error()));
  return {};
}

}  // namespace sluice
