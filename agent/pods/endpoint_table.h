// SPDX-License-Identifier: Apache-2.0
// The pods' endpoints of this node with their addresses: what the state file and the kernel's
// devices say at start, and memory from then on.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "agent/desired/desired.h"
#include "agent/pods/endpoint_names.h"
#include "agent/pods/ipam.h"
#include "agent/pods/store.h"
#include "lib/netlink/netlink.h"

namespace sluice {

struct RestoreReport {
  size_t restored = 0;       // from the file, device found
  size_t adopted = 0;        // from a device's alias, not in the file
  size_t released = 0;       // in the file, device gone
  size_t removed = 0;        // devices of ours that no longer say whose they are
  size_t unfinished = 0;     // devices of ADDs that never came to their last step
  std::string condition;     // not empty: the state file was corrupt
  std::string save_failure;  // not empty: the file does not hold what was restored
};

// Thread: the control loop.
class EndpointTable {
 public:
  EndpointTable(std::string state_dir, std::chrono::milliseconds rest);

  // Reads the file, compares it with the devices, and saves what holds from now on. A save that
  // fails is no failure: pods that run go on, and no new one is answered until it can be saved.
  Result<RestoreReport> restore(Netlink& host, int64_t now_ms);

  const LocalEndpoint* find(const EndpointKey& key) const;
  const std::map<EndpointKey, LocalEndpoint>& all() const { return endpoints_; }
  // Its addresses must be in use (allocate) already.
  void insert(const LocalEndpoint& endpoint);
  // Takes it out and lets its addresses rest.
  void erase(const EndpointKey& key, int64_t now_ms);
  // What the file should hold by now. The one who changes the table has it saved.
  PodState state() const;
  Store& store() { return store_; }
  // Endpoints whose pair of devices went away without a DEL, with their namespace or without:
  // neither end is left, on the node (`links`) or in the pod.
  std::vector<LocalEndpoint> find_leaks(std::span<const LinkInfo> links) const;

  IpPools& pools() { return pools_; }
  const IpPools& pools() const { return pools_; }

 private:
  void adopt(Netlink& host, const std::vector<LinkInfo>& links, RestoreReport& report);
  bool claim_addresses(const LocalEndpoint& endpoint);

  Store store_;
  IpPools pools_;
  std::map<EndpointKey, LocalEndpoint> endpoints_;
};

}  // namespace sluice
