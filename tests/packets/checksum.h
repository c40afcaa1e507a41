// SPDX-License-Identifier: Apache-2.0
// Checksums, computed from the RFCs and from nothing of the product: tests judge its packets by
// them.
#pragma once

#include <cstdint>
#include <string>

#include "tests/packets/build.h"

namespace sluice::test {

// RFC 1071, of bytes whose checksum field is zero; 0 over bytes whose field is right.
uint16_t internet_checksum(const Bytes& bytes);
// The same with the pseudo header of the addresses' family (RFC 793, RFC 8200 8.1).
uint16_t transport_checksum(const Address& src, const Address& dst, uint8_t proto,
                            const Bytes& bytes);
// SCTP's, RFC 9260 appendix A.
uint32_t crc32c(const Bytes& bytes);

// What is wrong with the checksums of an ARP, IPv4 or IPv6 frame; empty: nothing. Of a fragment
// only the IP header is looked at; of an ICMP error also the quoted IP header, and the quoted
// transport checksum where the whole packet is quoted.
std::string checksum_problems(const Bytes& frame);

}  // namespace sluice::test
