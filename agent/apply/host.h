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

// Routes and neighbours that carry our protocol number; others are never touched.
class HostRoutes {
 public:
  explicit HostRoutes(Netlink& netlink) : netlink_(netlink) {}
  void write(const Rows& rows, ApplyReport& report);
  void remove_unwanted(const Rows& rows, ApplyReport& report);

 private:
  void write_routes(const std::vector<RouteRow>& wanted, ApplyReport& report);
  void write_neighbours(const std::vector<NeighbourRow>& wanted, ApplyReport& report);
  Netlink& netlink_;
};

// Sysctls of the calling thread's network namespace and the pods' MTU. Written only where
// different.
class HostSettings {
 public:
  // proc: "/proc/sys/net"; another folder in tests.
  explicit HostSettings(Netlink& netlink, std::string proc = "/proc/sys/net")
      : netlink_(netlink), proc_(std::move(proc)) {}
  void write(const Rows& rows, ApplyReport& report);
  void forget() { settled_.clear(); }  // look at every device again

 private:
  Status set(const std::string& path, const std::string& value, ApplyReport& report);
  void write_node(const Rows& rows, const std::map<uint32_t, LinkInfo>& links, ApplyReport& report);
  void write_device(const LinkInfo& link, bool ipv6, ApplyReport& report);
  Netlink& netlink_;
  std::string proc_;
  std::set<uint32_t> settled_;
};

}  // namespace sluice
