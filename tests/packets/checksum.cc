// SPDX-License-Identifier: Apache-2.0
// Checksums: the sums, and the walk over a frame that checks each one.
#include "tests/packets/checksum.h"

#include "tests/packets/read.h"

namespace sluice::test {

namespace {

uint64_t sum_words(uint64_t sum, const uint8_t* bytes, size_t length) {
  for (size_t i = 0; i + 1 < length; i += 2)
    sum += static_cast<uint64_t>(bytes[i] << 8 | bytes[i + 1]);
  if (length % 2 != 0) sum += static_cast<uint64_t>(bytes[length - 1] << 8);
  return sum;
}

uint16_t fold(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

std::string transport_problem(const Seen& seen, const Bytes& segment) {
  const bool is_v4 = seen.src.is_ipv4();
  switch (seen.proto) {
    case kProtoTcp:
      return transport_checksum(seen.src, seen.dst, seen.proto, segment) == 0 ? "" : "TCP ";
    case kProtoUdp:
      if (segment.size() >= 8 && segment[6] == 0 && segment[7] == 0)
        return is_v4 ? "" : "UDP without checksum over IPv6 ";
      return transport_checksum(seen.src, seen.dst, seen.proto, segment) == 0 ? "" : "UDP ";
    case kProtoIcmp:
      return internet_checksum(segment) == 0 ? "" : "ICMP ";
    case kProtoIcmp6:
      return transport_checksum(seen.src, seen.dst, seen.proto, segment) == 0 ? "" : "ICMPv6 ";
    case kProtoSctp: {
      Bytes copy = segment;
      uint32_t stored = 0;
      for (unsigned i = 0; i < 4; i++) {
        stored |= static_cast<uint32_t>(copy.at(8 + i)) << (8 * i);
        copy.at(8 + i) = 0;
      }
      return crc32c(copy) == stored ? "" : "SCTP ";
    }
    default:
      return "";
  }
}

std::string network_problem(const Bytes& frame) {
  if (frame.at(kEthernetBytes) >> 4 != 4) return "";
  const size_t header = static_cast<size_t>(frame.at(kEthernetBytes) & 0xf) * 4;
  const Bytes ip(frame.begin() + kEthernetBytes,
                 frame.begin() + static_cast<std::ptrdiff_t>(kEthernetBytes + header));
  return internet_checksum(ip) == 0 ? "" : "IPv4 header ";
}

Bytes transport_of(const Bytes& frame, const Seen& seen) {
  return {frame.begin() + static_cast<std::ptrdiff_t>(seen.l4_offset),
          frame.begin() + static_cast<std::ptrdiff_t>(seen.end)};
}

}  // namespace

uint16_t internet_checksum(const Bytes& bytes) {
  return fold(sum_words(0, bytes.data(), bytes.size()));
}

uint16_t transport_checksum(const Address& src, const Address& dst, uint8_t proto,
                            const Bytes& bytes) {
  const size_t skip = src.is_ipv4() ? 12 : 0;
  uint64_t sum = sum_words(0, src.bytes.data() + skip, 16 - skip);
  sum = sum_words(sum, dst.bytes.data() + skip, 16 - skip);
  sum += proto + bytes.size();
  return fold(sum_words(sum, bytes.data(), bytes.size()));
}

uint32_t crc32c(const Bytes& bytes) {
  uint32_t crc = 0xffffffffU;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
  }
  return ~crc;
}

std::string checksum_problems(const Bytes& frame) {
  const Seen seen = read_frame(frame);
  if (seen.type == 0x0806) return "";
  if (!seen.valid) return "not readable ";
  std::string problems = network_problem(frame);
  if (seen.is_fragment || seen.l4_offset >= seen.end) return problems;
  problems += transport_problem(seen, transport_of(frame, seen));
  if (!seen.is_icmp_error()) return problems;
  const Bytes inner = quoted_frame(frame);
  const Seen quote = read_frame(inner);
  if (!quote.valid) return problems + "quote not readable ";
  std::string quoted = network_problem(inner);
  if (!quote.is_cut && !quote.is_fragment)
    quoted += transport_problem(quote, transport_of(inner, quote));
  if (!quoted.empty()) problems += "quoted " + quoted;
  return problems;
}

}  // namespace sluice::test
