// SPDX-License-Identifier: Apache-2.0
// Inside apply: programs on devices, by pinned TCX links or, on older kernels, by clsact filters.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/apply/host_memory.h"
#include "agent/apply/programs.h"
#include "lib/fd/fd.h"
#include "lib/netlink/netlink.h"
#include "lib/result/result.h"

namespace sluice {

struct Slot {
  uint32_t ifindex = 0;
  Direction direction = Direction::kIngress;
  auto operator<=>(const Slot&) const = default;
};

std::string slot_text(const Slot& slot);  // "device 17 ingress"

// One way to attach. A replacement is atomic: a packet meets the old program or the new one.
class Attacher {
 public:
  virtual ~Attacher() = default;
  // Reads what of ours is attached, by any earlier process too.
  virtual Status refresh() = 0;
  // Attaches or replaces; nothing where this program is there already. True: something changed. An
  // error does not mean that the program is not there: it may be that it would not outlive us.
  virtual Result<bool> attach(const Slot& slot, const Program& program) = 0;
  virtual Status detach(const Slot& slot) = 0;
  virtual std::vector<Slot> slots() const = 0;  // also of devices that are gone
  // Those of slots() whose program or pin went since the last refresh or attach; also of devices
  // that are gone.
  virtual std::vector<Slot> lost() const = 0;
  virtual std::string_view name() const = 0;
};

// Links pinned as <folder>/<ifindex>-<ingress|egress>: they outlive the process that made them. One
// whose pin somebody took away is held by us alone, and is pinned anew.
class TcxAttacher final : public Attacher {
 public:
  explicit TcxAttacher(std::string folder) : folder_(std::move(folder)) {}
  Status refresh() override;
  Result<bool> attach(const Slot& slot, const Program& program) override;
  Status detach(const Slot& slot) override;
  std::vector<Slot> slots() const override;
  std::vector<Slot> lost() const override;
  std::string_view name() const override { return "tcx"; }

 private:
  struct Link {
    Fd fd;
    uint32_t id = 0;  // the kernel's number of the link
    uint32_t program_id = 0;
    bool alive = false;   // its device exists and carries it
    bool pinned = false;  // as the last refresh saw it
  };
  Result<Link> open_pin(const Slot& slot) const;
  Status inspect(const Slot& slot, Link& link) const;
  Result<bool> attach_anew(const Slot& slot, const Program& program);
  Result<bool> replace_program(const Slot& slot, Link& link, const Program& program) const;
  Status pin(const Slot& slot, Link& link) const;
  std::string path(const Slot& slot) const;

  std::string folder_;
  std::map<Slot, Link> links_;
};

// Our clsact filters on every device: a filter elsewhere in the qdisc is somebody else's.
inline constexpr uint32_t kFilterPriority = 83;
inline constexpr uint32_t kFilterHandle = 0x534c;

// Filters of a priority and handle that are only ours, in the device's clsact qdisc.
class ClsactAttacher final : public Attacher {
 public:
  ClsactAttacher(Netlink& netlink, HostMemory& memory) : netlink_(netlink), memory_(memory) {}
  Status refresh() override;
  Result<bool> attach(const Slot& slot, const Program& program) override;
  Status detach(const Slot& slot) override;
  std::vector<Slot> slots() const override;
  std::vector<Slot> lost() const override;
  std::string_view name() const override { return "clsact"; }

 private:
  Status make_qdisc(const Slot& slot);
  Netlink& netlink_;
  HostMemory& memory_;
  std::map<Slot, uint32_t> programs_;
};

// Removes the qdiscs that we made on others' devices and that nobody has put a filter into.
void remove_empty_qdiscs(Netlink& netlink, const HostMemory& memory, ApplyReport& report);

// By trying, never by version. kUnsupported where the kernel has no TCX links.
Status probe_tcx();

}  // namespace sluice
