// SPDX-License-Identifier: Apache-2.0
// Inside apply: programs on devices by clsact filters, where the kernel has no TCX links.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <cerrno>

#include "agent/apply/attach.h"
#include "agent/apply/host.h"
#include "lib/skeleton/skeleton.h"

namespace sluice {

namespace {

bpf_tc_hook hook_of(const Slot& slot) {
  bpf_tc_hook hook = {};
  hook.sz = sizeof(hook);
  hook.ifindex = static_cast<int>(slot.ifindex);
  hook.attach_point = slot.direction == Direction::kIngress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
  return hook;
}

bpf_tc_opts our_filter() {
  bpf_tc_opts opts = {};
  opts.sz = sizeof(opts);
  opts.handle = kFilterHandle;
  opts.priority = kFilterPriority;
  return opts;
}

Error tc_error(const std::string& doing, int code, const LibbpfLog& log) {
  std::string context = doing;
  if (const std::string tail = log.tail(); !tail.empty()) context += " [" + tail + "]";
  return from_errno(std::move(context), -code);
}

}  // namespace

Status ClsactAttacher::refresh() {
  programs_.clear();
  const LibbpfLog log;
  auto links = netlink_.links();
  if (!links) return fail(within("find our filters", links.error()));
  for (const LinkInfo& link : *links) {
    for (const Direction direction : {Direction::kIngress, Direction::kEgress}) {
      const Slot slot{.ifindex = link.ifindex, .direction = direction};
      const bpf_tc_hook hook = hook_of(slot);
      bpf_tc_opts opts = our_filter();
      // Fails where there is no qdisc or no such filter: then nothing there is ours.
      if (bpf_tc_query(&hook, &opts) == 0) programs_.emplace(slot, opts.prog_id);
    }
  }
  return {};
}

// Our own devices take theirs with them when they go.
Status ClsactAttacher::make_qdisc(const Slot& slot) {
  const LibbpfLog log;
  bpf_tc_hook hook = hook_of(slot);
  const int code = bpf_tc_hook_create(&hook);
  if (code == -EEXIST) return {};
  if (code != 0) return fail(tc_error("create the clsact qdisc for " + slot_text(slot), code, log));
  const auto link = netlink_.link(slot.ifindex);
  if (!link || link->alias.starts_with(kAliasMark) || link->alias == kOverlayAlias) return {};
  return memory_.remember_clsact(link->name);
}

Result<bool> ClsactAttacher::attach(const Slot& slot, const Program& program) {
  const auto found = programs_.find(slot);
  if (found != programs_.end() && found->second == program.id) return false;
  if (auto made = make_qdisc(slot); !made) return fail(made.error());
  const LibbpfLog log;
  const bpf_tc_hook hook = hook_of(slot);
  bpf_tc_opts opts = our_filter();
  opts.prog_fd = program.fd.get();
  opts.flags = BPF_TC_F_REPLACE;
  if (const int code = bpf_tc_attach(&hook, &opts); code != 0) {
    return fail(tc_error("attach a filter to " + slot_text(slot), code, log));
  }
  programs_.insert_or_assign(slot, program.id);
  return true;
}

Status ClsactAttacher::detach(const Slot& slot) {
  const LibbpfLog log;
  const bpf_tc_hook hook = hook_of(slot);
  const bpf_tc_opts opts = our_filter();
  const int code = bpf_tc_detach(&hook, &opts);
  // The device, its qdisc or the filter is gone already.
  if (code != 0 && code != -ENODEV && code != -ENOENT && code != -EINVAL) {
    return fail(tc_error("remove our filter from " + slot_text(slot), code, log));
  }
  programs_.erase(slot);
  return {};
}

std::vector<Slot> ClsactAttacher::slots() const {
  std::vector<Slot> all;
  for (const auto& [slot, program] : programs_) all.push_back(slot);
  return all;
}

std::vector<Slot> ClsactAttacher::lost() const {
  const LibbpfLog log;
  std::vector<Slot> gone;
  for (const auto& [slot, program] : programs_) {
    const bpf_tc_hook hook = hook_of(slot);
    bpf_tc_opts opts = our_filter();
    if (bpf_tc_query(&hook, &opts) != 0 || opts.prog_id != program) gone.push_back(slot);
  }
  return gone;
}

void remove_empty_qdiscs(Netlink& netlink, const HostMemory& memory, ApplyReport& report) {
  for (const std::string& device : memory.clsacts()) {
    const auto link = netlink.link(device);
    if (!link) continue;  // gone, and the qdisc with it
    const std::string object = "clsact qdisc of device " + device;
    const auto used = netlink.has_clsact_filters(link->ifindex);
    if (!used) record(report, object, link->ifindex, used.error());
    if (!used || *used) continue;
    const LibbpfLog log;
    bpf_tc_hook hook = hook_of(Slot{.ifindex = link->ifindex});
    hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
    const int code = bpf_tc_hook_destroy(&hook);
    if (code == 0) report.deleted++;
    if (code != 0 && code != -ENOENT && code != -EINVAL)
      record(report, object, link->ifindex, tc_error("delete the " + object, code, log));
  }
}

}  // namespace sluice
