// SPDX-License-Identifier: Apache-2.0
// Reads a frame's fields, so that a test says what a program made of a packet.
#pragma once

#include "tests/packets/build.h"

namespace sluice::test {

struct Seen {
  bool valid = false;  // ARP, or IP with every header in place
  uint16_t type = 0;   // EtherType
  Mac dst_mac = {};
  Mac src_mac = {};
  Address src = {};
  Address dst = {};
  uint8_t ttl = 0;
  uint8_t proto = 0;
  uint16_t sport = 0;
  uint16_t dport = 0;
  uint8_t icmp_type = 0;
  uint8_t icmp_code = 0;
  uint16_t icmp_id = 0;  // bytes 4 and 5 of an ICMP header
  bool is_fragment = false;
  bool is_cut = false;   // shorter than its length field says: a quote
  size_t l4_offset = 0;  // from the start of the frame
  size_t end = 0;        // by the length field; of a cut packet, of the bytes

  bool is_icmp_error() const;
};

Seen read_frame(const Bytes& frame);
// The packet that an ICMP error quotes, behind an Ethernet header of zeros.
Bytes quoted_frame(const Bytes& error);

uint16_t get16(const Bytes& bytes, size_t offset);

}  // namespace sluice::test
