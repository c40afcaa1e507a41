// SPDX-License-Identifier: Apache-2.0
// Desired state to the rows that the kernel should hold. Pure and memoryless: history never changes
// a result.
#pragma once

#include "agent/compile/rows.h"
#include "agent/desired/desired.h"

namespace sluice {

// UDP port of the overlay, as Linux VXLAN data planes use it (not the 4789 of RFC 7348).
// Bytes that VXLAN adds inside the underlay's MTU: outer IP, UDP, VXLAN and the inner Ethernet
// header.
inline constexpr uint32_t kVxlanOverheadIpv4 = 50;
inline constexpr uint32_t kVxlanOverheadIpv6 = 70;
inline constexpr uint32_t kMtuWithoutUplink = 1500;

// Thread: any.
Rows compile(const Desired& desired);
// The same result, from the one before the changes: where only pods changed it costs what they
// name, the nodes and this node's pods.
Rows compile(const Desired& desired, const PodChanges& changes, Rows before);

}  // namespace sluice
