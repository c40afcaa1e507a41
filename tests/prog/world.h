// SPDX-License-Identifier: Apache-2.0
// Who is who in the tests: the same cast in both families, and the rows that the agent would write
// for it.
#pragma once

#include <ostream>
#include <string>

#include "bpf/abi/endpoint.h"
#include "tests/packets/build.h"
#include "tests/prog/network.h"
#include "tests/prog/rig.h"

namespace sluice::test {

enum class Family { kIpv4, kIpv6 };

inline constexpr uint32_t kIdentityA = 1001;
inline constexpr uint32_t kIdentityB = 1002;
inline constexpr uint32_t kIdentityRemote = 1003;
inline constexpr uint16_t kSnatMin = 40000;
inline constexpr uint16_t kSnatMax = 40063;
inline constexpr uint32_t kTunnelId = 42;

// Addresses of one family.
struct World {
  Family family = Family::kIpv4;
  Address pod_a;
  Address pod_b;
  Address node;       // this node, also the address that translation uses
  Address native;     // a pod of another node, routed
  Address tunnelled;  // a pod of another node, behind the overlay
  Address outside;    // in the world
  Address blackhole;
  Address unreachable;
  Address unused;  // in this node's pod range, nobody's
  Address gateway;
  Address spoofed;  // of nobody here
  bool is_v6() const { return family == Family::kIpv6; }
  uint8_t icmp() const { return is_v6() ? kProtoIcmp6 : kProtoIcmp; }
};

const World& world(Family family);
std::string family_name(Family family);
void PrintTo(const Family& family, std::ostream* out);

inline const Mac kHostMacA = {{2, 0, 0, 0, 0x0a, 1}};
inline const Mac kPodMacA = {{2, 0, 0, 0, 0x0a, 2}};
inline const Mac kHostMacB = {{2, 0, 0, 0, 0x0b, 1}};
inline const Mac kPodMacB = {{2, 0, 0, 0, 0x0b, 2}};
inline const Mac kUplinkMac = {{2, 0, 0, 0, 0, 1}};
inline const Mac kRouterMac = {{2, 0, 0, 0, 0, 0xfe}};

// Of pod A, by its MAC.
inline const Address kLinkLocalA = addr("fe80::ff:fe00:a02");

inline const Address kTunnelPeer = addr("192.0.2.3");

// From pod A's, pod B's side, from the wire, out of the node.
inline const Ethernet kFromA = {.dst = kHostMacA, .src = kPodMacA};
inline const Ethernet kFromB = {.dst = kHostMacB, .src = kPodMacB};
inline const Ethernet kFromWire = {.dst = kUplinkMac, .src = kRouterMac};
inline const Ethernet kToA = {.dst = kPodMacA, .src = kHostMacA};

endpoint_row endpoint_a();
endpoint_row endpoint_b();
node_row node_settings();

void put_identity(Rig& rig, const Prefix& prefix, const identity_row& row);
// Both pods, both families, all peers, the devices and the node.
void fill(Rig& rig);

// The row of the flow that this packet belongs to, by its own addresses and ports.
ct_key flow_key(const Ip& ip, uint8_t proto, uint16_t sport, uint16_t dport);

}  // namespace sluice::test
