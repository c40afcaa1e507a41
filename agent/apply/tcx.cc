// SPDX-License-Identifier: Apache-2.0
// Inside apply: programs on devices by TCX links, pinned so that no restart of ours detaches them.
#include <bpf/bpf.h>
#include <dirent.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <climits>
#include <optional>

#include "agent/apply/attach.h"

namespace sluice {

namespace {

bpf_attach_type attach_type(Direction direction) {
  return direction == Direction::kIngress ? BPF_TCX_INGRESS : BPF_TCX_EGRESS;
}

const char* direction_text(Direction direction) {
  return direction == Direction::kIngress ? "ingress" : "egress";
}

// "17-ingress"; nothing else is a pin of ours.
std::optional<Slot> slot_of(std::string_view name) {
  const auto dash = name.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  Slot slot;
  const char* end = name.data() + dash;
  const auto [rest, error] = std::from_chars(name.data(), end, slot.ifindex);
  if (error != std::errc() || rest != end) return std::nullopt;
  const std::string_view direction = name.substr(dash + 1);
  if (direction != "ingress" && direction != "egress") return std::nullopt;
  slot.direction = direction == "ingress" ? Direction::kIngress : Direction::kEgress;
  return slot;
}

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

}  // namespace

std::string slot_text(const Slot& slot) {
  return "device " + std::to_string(slot.ifindex) + " " + direction_text(slot.direction);
}

std::string TcxAttacher::path(const Slot& slot) const {
  return folder_ + "/" + std::to_string(slot.ifindex) + "-" + direction_text(slot.direction);
}

Status TcxAttacher::inspect(const Slot& slot, Link& link) const {
  bpf_link_info info = {};
  uint32_t size = sizeof(info);
  if (bpf_link_get_info_by_fd(link.fd.get(), &info, &size) != 0) {
    return fail(from_errno("inspect the link of " + slot_text(slot)));
  }
  link.id = info.id;
  link.program_id = info.prog_id;
  // The kernel sets a link's ifindex to 0 when its device goes or somebody detaches it.
  link.alive = info.type == BPF_LINK_TYPE_TCX && info.tcx.ifindex == slot.ifindex &&
               info.tcx.attach_type == attach_type(slot.direction);
  return {};
}

Result<TcxAttacher::Link> TcxAttacher::open_pin(const Slot& slot) const {
  Link link{.fd = Fd(bpf_obj_get(path(slot).c_str())), .pinned = true};
  if (!link.fd.valid()) return fail(from_errno("open pinned link " + path(slot)));
  if (auto seen = inspect(slot, link); !seen) return fail(seen.error());
  return link;
}

// What we hold stays: where its pin is gone, our descriptor is all that keeps it on the device.
Status TcxAttacher::refresh() {
  for (auto& [slot, link] : links_) {
    link.pinned = false;
    if (auto seen = inspect(slot, link); !seen) return seen;
  }
  const std::unique_ptr<DIR, DirCloser> dir(::opendir(folder_.c_str()));
  if (dir == nullptr && errno == ENOENT) return {};
  if (dir == nullptr) return fail(from_errno("list " + folder_));
  while (const dirent* entry = ::readdir(dir.get())) {
    const auto slot = slot_of(entry->d_name);
    if (!slot) continue;
    auto link = open_pin(*slot);
    if (!link) return fail(link.error());
    const auto held = links_.find(*slot);
    if (held == links_.end() || !held->second.alive) {
      links_.insert_or_assign(*slot, std::move(*link));
    } else {
      held->second.pinned = held->second.id == link->id;
    }
  }
  return {};
}

// Over whatever is there in its place. Until it succeeds the link lives as long as we do.
Status TcxAttacher::pin(const Slot& slot, Link& link) const {
  const std::string at = path(slot);
  const std::string doing = "pin link " + at + " (its program works, but ends with this agent)";
  if (auto made = make_directories(folder_); !made) return fail(within(doing, made.error()));
  if (::unlink(at.c_str()) != 0 && errno != ENOENT)
    return fail(from_errno(doing + ": remove what is there"));
  if (bpf_obj_pin(link.fd.get(), at.c_str()) != 0) return fail(from_errno(doing));
  link.pinned = true;
  return {};
}

// False: the link's device went and its number came back.
Result<bool> TcxAttacher::replace_program(const Slot& slot, Link& link,
                                          const Program& program) const {
  if (bpf_link_update(link.fd.get(), program.fd.get(), nullptr) == 0) {
    link.program_id = program.id;
    return true;
  }
  if (errno == ENOLINK) return false;
  return fail(from_errno("update the program on " + slot_text(slot)));
}

Result<bool> TcxAttacher::attach_anew(const Slot& slot, const Program& program) {
  if (auto removed = detach(slot); !removed) return fail(removed.error());
  Link link{.fd = Fd(bpf_link_create(program.fd.get(), static_cast<int>(slot.ifindex),
                                     attach_type(slot.direction), nullptr))};
  if (!link.fd.valid()) return fail(from_errno("attach to " + slot_text(slot)));
  if (auto seen = inspect(slot, link); !seen) return fail(seen.error());
  Link& kept = links_.insert_or_assign(slot, std::move(link)).first->second;
  if (auto pinned = pin(slot, kept); !pinned) return fail(pinned.error());
  return true;
}

Result<bool> TcxAttacher::attach(const Slot& slot, const Program& program) {
  const auto found = links_.find(slot);
  if (found == links_.end() || !found->second.alive) return attach_anew(slot, program);
  Link& link = found->second;
  bool changed = link.program_id != program.id;
  if (changed) {
    auto replaced = replace_program(slot, link, program);
    if (!replaced) return replaced;
    if (!*replaced) return attach_anew(slot, program);
  }
  if (link.pinned) return changed;
  if (auto pinned = pin(slot, link); !pinned) return fail(pinned.error());
  return true;
}

Status TcxAttacher::detach(const Slot& slot) {
  if (::unlink(path(slot).c_str()) != 0 && errno != ENOENT) {
    return fail(from_errno("remove pinned link " + path(slot)));
  }
  links_.erase(slot);
  return {};
}

std::vector<Slot> TcxAttacher::slots() const {
  std::vector<Slot> all;
  for (const auto& [slot, link] : links_) all.push_back(slot);
  return all;
}

std::vector<Slot> TcxAttacher::lost() const {
  std::vector<Slot> gone;
  for (const auto& [slot, link] : links_) {
    bpf_link_info info = {};
    uint32_t size = sizeof(info);
    const bool detached = link.alive && bpf_link_get_info_by_fd(link.fd.get(), &info, &size) == 0 &&
                          info.tcx.ifindex != slot.ifindex;
    const bool unpinned = link.pinned && ::access(path(slot).c_str(), F_OK) != 0;
    if (detached || unpinned) gone.push_back(slot);
  }
  return gone;
}

Status probe_tcx() {
  // return TCX_NEXT
  const bpf_insn program[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = -1},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  const Fd fd(
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "sl_probe", "Apache-2.0", program, 2, nullptr));
  if (!fd.valid()) return fail(from_errno("load a probe program"));
  // No device has this number. A kernel with TCX looks for the device, another refuses the hook
  // first.
  const Fd link(bpf_link_create(fd.get(), INT_MAX, BPF_TCX_INGRESS, nullptr));
  if (!link.valid() && errno == ENODEV) return {};
  return fail(from_errno("probe TCX", EOPNOTSUPP));
}

}  // namespace sluice
