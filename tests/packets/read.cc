// SPDX-License-Identifier: Apache-2.0
// Reads a frame's fields: Ethernet, IPv4 or IPv6 with extension headers, ports or ICMP.
#include "tests/packets/read.h"

#include <algorithm>

namespace sluice::test {

namespace {

bool is_extension(uint8_t proto) {
  return proto == kExtHopByHop || proto == kExtRouting || proto == kExtFragment ||
         proto == kExtDestination || proto == kExtAuthentication;
}

bool read_ipv4(const Bytes& frame, Seen& seen) {
  if (frame.size() < kEthernetBytes + 20) return false;
  const size_t header = static_cast<size_t>(frame[kEthernetBytes] & 0xf) * 4;
  seen.end = kEthernetBytes + get16(frame, 16);
  seen.is_fragment = (get16(frame, 20) & 0x3fff) != 0;
  seen.ttl = frame[22];
  seen.proto = frame[23];
  seen.src = seen.dst = addr("0.0.0.0");
  std::copy_n(frame.begin() + 26, 4, seen.src.bytes.begin() + 12);
  std::copy_n(frame.begin() + 30, 4, seen.dst.bytes.begin() + 12);
  seen.l4_offset = kEthernetBytes + header;
  return seen.l4_offset <= frame.size();
}

bool read_ipv6(const Bytes& frame, Seen& seen) {
  if (frame.size() < kEthernetBytes + 40) return false;
  seen.end = kEthernetBytes + 40 + get16(frame, 18);
  seen.proto = frame[20];
  seen.ttl = frame[21];
  std::copy_n(frame.begin() + 22, 16, seen.src.bytes.begin());
  std::copy_n(frame.begin() + 38, 16, seen.dst.bytes.begin());
  seen.l4_offset = kEthernetBytes + 40;
  while (is_extension(seen.proto)) {
    const size_t at = seen.l4_offset;
    if (at + 8 > frame.size()) return false;
    if (seen.proto == kExtFragment && (get16(frame, at + 2) & 0xfff9) != 0) seen.is_fragment = true;
    const size_t length = seen.proto == kExtFragment         ? 8
                          : seen.proto == kExtAuthentication ? (frame[at + 1] + 2U) * 4
                                                             : (frame[at + 1] + 1U) * 8;
    seen.proto = frame[at];
    seen.l4_offset += length;
  }
  return seen.l4_offset <= frame.size();
}

void read_transport(const Bytes& frame, Seen& seen) {
  const size_t at = seen.l4_offset;
  if (at + 8 > frame.size()) return;
  if (seen.proto == kProtoIcmp || seen.proto == kProtoIcmp6) {
    seen.icmp_type = frame[at];
    seen.icmp_code = frame[at + 1];
    seen.icmp_id = get16(frame, at + 4);
    return;
  }
  seen.sport = get16(frame, at);
  seen.dport = get16(frame, at + 2);
}

}  // namespace

uint16_t get16(const Bytes& bytes, size_t offset) {
  return static_cast<uint16_t>(bytes.at(offset) << 8 | bytes.at(offset + 1));
}

bool Seen::is_icmp_error() const {
  if (proto == kProtoIcmp6) return icmp_type >= 1 && icmp_type <= 4;
  return proto == kProtoIcmp &&
         (icmp_type == 3 || icmp_type == 4 || icmp_type == 11 || icmp_type == 12);
}

Seen read_frame(const Bytes& frame) {
  Seen seen;
  if (frame.size() < kEthernetBytes) return seen;
  std::copy_n(frame.begin(), 6, seen.dst_mac.bytes.begin());
  std::copy_n(frame.begin() + 6, 6, seen.src_mac.bytes.begin());
  seen.type = get16(frame, 12);
  if (seen.type == 0x0806) {
    seen.valid = frame.size() >= kEthernetBytes + 28;
    return seen;
  }
  if (seen.type == 0x0800) seen.valid = read_ipv4(frame, seen);
  if (seen.type == 0x86dd) seen.valid = read_ipv6(frame, seen);
  if (!seen.valid) return seen;
  seen.is_cut = seen.end > frame.size();
  seen.end = std::min(seen.end, frame.size());
  read_transport(frame, seen);
  return seen;
}

Bytes quoted_frame(const Bytes& error) {
  const Seen outer = read_frame(error);
  const Bytes quote(
      error.begin() + static_cast<std::ptrdiff_t>(std::min(outer.l4_offset + 8, error.size())),
      error.begin() + static_cast<std::ptrdiff_t>(outer.end));
  return frame(Ethernet{}, outer.type, quote);
}

}  // namespace sluice::test
