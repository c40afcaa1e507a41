// SPDX-License-Identifier: Apache-2.0
// ICMP and ICMPv6 messages of either family by what they are for.
#pragma once

#include "tests/packets/build.h"

namespace sluice::test {

Icmp echo_request(bool is_v6, uint16_t id);
Icmp echo_reply(bool is_v6, uint16_t id);

enum class ErrorKind { kUnreachable, kTooBig, kTimeExceeded };
// An error that quotes `about`, a packet from its network header, up to `quote_bytes` of it.
Icmp icmp_error(bool is_v6, ErrorKind kind, const Bytes& about, size_t quote_bytes = 512);

Icmp neighbour_solicitation(const Address& target, const Mac& sender);
Icmp neighbour_advertisement(const Address& target, const Mac& owner);
Icmp router_solicitation();
Icmp mld_report();

// The solicited-node group of an address, RFC 4291 2.7.1.
Address solicited_node(const Address& target);

}  // namespace sluice::test
