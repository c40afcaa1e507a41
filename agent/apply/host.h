// SPDX-License-Identifier: Apache-2.0
// Inside apply: what the node's own stack has of ours: overlay device, routes, neighbours, device
// and node settings.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/apply/datapath.h"
#include "agent/apply/host_memory.h"
#include "agent/compile/rows.h"
#include "lib/netlink/netlink.h"
#include "lib/result/result.h"

namespace sluice {

void record(ApplyReport& report, std::string object, uint32_t ifindex, Error error);
void record(ApplyReport& report, std::string object, uint32_t ifindex, const Status& status);

// The VXLAN device: ours by name and alias; a device of that name without the alias is refused.
class Overlay {
 public:
  explicit Overlay(Netlink& netlink) : netlink_(netlink) {}
  // Creates or adopts it. mtu 0: as the kernel chooses.
  void ensure(uint32_t mtu, ApplyReport& report);
  void remove(ApplyReport& report);
  // Finds the device of an agent before this one, so that the first rows already name it.
  void adopt();
  uint32_t ifindex() const { return ifindex_; }

 private:
  Status create(uint32_t mtu);
  Netlink& netlink_;
  uint32_t ifindex_ = 0;
};

// Routes and neighbours that carry our protocol number; others are never touched. Call per apply:
// write, which reads what the kernel has, then remove_unwanted, which takes the rest of that away.
class HostRoutes {
 public:
  explicit HostRoutes(Netlink& netlink) : netlink_(netlink) {}
  void write(const Rows& rows, ApplyReport& report);
  void remove_unwanted(const Rows& rows, ApplyReport& report);

 private:
  void write_routes(const std::vector<RouteRow>& wanted, ApplyReport& report);
  void write_neighbours(const std::vector<NeighbourRow>& wanted, ApplyReport& report);
  Netlink& netlink_;
  std::vector<RouteInfo> routes_;  // ours before this apply, less those that it replaced
  std::vector<NeighbourInfo> neighbours_;
};

// Sysctls of the calling thread's network namespace and the pods' MTU. Written only where
// different.
class HostSettings {
 public:
  HostSettings(Netlink& netlink, HostMemory& memory) : netlink_(netlink), memory_(memory) {}
  void write(const Rows& rows, ApplyReport& report);
  void forget() { settled_.clear(); }  // look at every device again
  // As they were when write() looked, by ifindex.
  const std::map<uint32_t, LinkInfo>& links() const { return links_; }

 private:
  Status set(const std::string& path, const std::string& value, ApplyReport& report);
  // Of what is not ours: remembers the value that was there.
  Status set_foreign(const std::string& path, const std::string& value, ApplyReport& report);
  void write_node(const Rows& rows, ApplyReport& report);
  void write_device(const LinkInfo& link, bool ipv6, ApplyReport& report);
  void write_mtu(LinkInfo& link, uint32_t mtu, ApplyReport& report);
  Netlink& netlink_;
  HostMemory& memory_;
  std::map<uint32_t, bool> settled_;  // with IPv6 or without
  std::map<uint32_t, LinkInfo> links_;
};

// Puts back each sysctl that still has the value that we gave it; a device that is gone took its
// own with it.
void restore_sysctls(const HostMemory& memory, ApplyReport& report);

}  // namespace sluice
