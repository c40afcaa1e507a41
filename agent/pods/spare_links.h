// SPDX-License-Identifier: Apache-2.0
// Pod devices made ahead of their pods. The kernel lets nobody else change the network while a TCX
// link is added (two grace periods of RCU, tens of milliseconds): a pod that gets a device with
// programs on it does not wait for that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/pods/pod_link.h"
#include "lib/netlink/netlink.h"

namespace sluice {

// Both ends are on the node and down; the first is known by kSpareAlias. What remembers them is the
// kernel: they survive a restart. Thread: the control loop.
class SpareLinks {
 public:
  explicit SpareLinks(size_t wanted) : wanted_(wanted) {}

  // links: of the node, just read. What an earlier agent left is taken over, what is not whole or
  // too much is deleted. Returns whether anything differs from before.
  bool refresh(Netlink& host, std::span<const LinkInfo> links);
  bool wants_more() const { return links_.size() < wanted_; }
  Status make_one(Netlink& host, uint32_t mtu);
  // The oldest one: its programs are the likeliest to be there. It is the caller's now.
  std::optional<SpareLink> take();
  std::vector<uint32_t> ifindexes() const;  // ascending

 private:
  size_t wanted_;
  uint64_t made_ = 0;
  std::vector<SpareLink> links_;  // sorted by ifindex
};

}  // namespace sluice
