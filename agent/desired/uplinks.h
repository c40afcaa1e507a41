// SPDX-License-Identifier: Apache-2.0
// Which devices of the host lead outside, from what the kernel lists. Pure.
#pragma once

#include <string>
#include <vector>

#include "agent/desired/desired.h"
#include "lib/netlink/netlink.h"

namespace sluice {

struct HostNetwork {
  std::vector<LinkInfo> links{};
  std::vector<AddressInfo> addresses{};
  std::vector<RouteInfo> routes{};  // main table
};

// configured:     device names or shell patterns ("eth*"); empty: the devices that carry a default
// route or hold one of
//                 node_addresses, without bridges of container engines.
// node_addresses: InternalIPs of this node; on each device they come first, so that they are the
// source of translation. Loopback, the pods' devices and our own overlay are never uplinks. Result:
// the device of the default route with the lowest metric first, the others by ifindex.
std::vector<Uplink> find_uplinks(const HostNetwork& host,
                                 const std::vector<std::string>& configured,
                                 const std::vector<Address>& node_addresses);

// Every address of the host that a pod may talk to: all but loopback and IPv6 link-local ones;
// sorted, each once.
std::vector<Address> find_host_addresses(const HostNetwork& host);

// Addresses that no pod may have, whatever its range: the host's own, and the routers' that its
// routes name; sorted, each once.
std::vector<Address> find_taken_addresses(const HostNetwork& host);

}  // namespace sluice
