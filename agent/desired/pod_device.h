// SPDX-License-Identifier: Apache-2.0
// How a device is known as the host's side of a pod's pair, with no memory of it.
#pragma once

#include "agent/desired/desired.h"
#include "lib/netlink/netlink.h"

namespace sluice {

// A kill between creation and naming leaves a device of our name and MAC without an alias.
inline bool looks_like_ours(const LinkInfo& link) {
  if (link.kind != "veth") return false;
  if (link.alias.starts_with(kAliasMark)) return true;
  return link.alias.empty() && link.mac == kGatewayMac && link.name.starts_with(kPodDevicePrefix) &&
         link.name.size() == 14;
}

}  // namespace sluice
