// SPDX-License-Identifier: Apache-2.0
// Packets for tests: structs in, bytes out, every checksum right unless it is asked to be absent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "lib/ip/ip.h"

namespace sluice::test {

using Bytes = std::vector<uint8_t>;

inline constexpr size_t kEthernetBytes = 14;

inline constexpr uint8_t kProtoIcmp = 1;
inline constexpr uint8_t kProtoTcp = 6;
inline constexpr uint8_t kProtoUdp = 17;
inline constexpr uint8_t kProtoGre = 47;
inline constexpr uint8_t kProtoIcmp6 = 58;
inline constexpr uint8_t kProtoSctp = 132;
inline constexpr uint8_t kProtoUdpLite = 136;

inline constexpr uint8_t kExtHopByHop = 0;
inline constexpr uint8_t kExtRouting = 43;
inline constexpr uint8_t kExtFragment = 44;
inline constexpr uint8_t kExtAuthentication = 51;
inline constexpr uint8_t kExtDestination = 60;

inline constexpr uint8_t kFin = 0x01;
inline constexpr uint8_t kSyn = 0x02;
inline constexpr uint8_t kRst = 0x04;
inline constexpr uint8_t kAck = 0x10;

struct Ethernet {
  Mac dst = {};
  Mac src = {};
};

struct Arp {
  uint16_t operation = 1;
  Mac sender_mac = {};
  Address sender = {};  // all zero: 0.0.0.0
  Mac target_mac = {};
  Address target = {};
};

// An IPv6 extension header; its length field counts what `body` needs.
struct Extension {
  uint8_t type = kExtDestination;
  Bytes body = {};  // after next header and length; padded with zeros to the header's unit
};

struct Fragment {
  uint16_t offset = 0;  // bytes, a multiple of 8
  bool more = false;
  uint32_t id = 0;  // IPv4 has the low 16 bits
};

// The family is that of the addresses.
struct Ip {
  Address src = {};
  Address dst = {};
  uint8_t ttl = 64;
  Bytes options = {};                      // IPv4; a multiple of 4
  std::vector<Extension> extensions = {};  // IPv6
  std::optional<Fragment> fragment = {};   // written as given; the payload is not cut
};

struct Tcp {
  uint16_t sport = 0;
  uint16_t dport = 0;
  uint8_t flags = kSyn;
  uint32_t seq = 1;
  Bytes payload = {};
};

struct Udp {
  uint16_t sport = 0;
  uint16_t dport = 0;
  Bytes payload = {};
  bool zero_checksum = false;
};

// ICMP or ICMPv6, as the addresses are.
struct Icmp {
  uint8_t type = 0;
  uint8_t code = 0;
  uint32_t rest = 0;  // bytes 4..7
  Bytes payload = {};
};

struct Sctp {
  uint16_t sport = 0;
  uint16_t dport = 0;
  Bytes payload = {};
};

struct Raw {
  uint8_t proto = kProtoGre;
  Bytes payload = {};
};

using Transport = std::variant<Tcp, Udp, Icmp, Sctp, Raw>;

// From the network header on.
Bytes packet(const Ip& ip, const Transport& transport);
Bytes frame(const Ethernet& ethernet, const Ip& ip, const Transport& transport);
Bytes frame(const Ethernet& ethernet, const Arp& arp);
// Any EtherType.
Bytes frame(const Ethernet& ethernet, uint16_t type, const Bytes& payload);

// Cuts a frame's IP payload at `first_bytes` (a multiple of 8) into two fragments.
std::vector<Bytes> fragments(const Bytes& whole, size_t first_bytes, uint32_t id);

// The first `length` bytes.
Bytes truncated(const Bytes& whole, size_t length);
// The same, and the IP length field says so: the cut is honest, only what is inside is missing.
Bytes shortened(const Bytes& whole, size_t length);

// An address in a test's own text; ends the test program where it does not parse.
Address addr(std::string_view text);

void put16(Bytes& bytes, size_t offset, uint16_t value);
void put32(Bytes& bytes, size_t offset, uint32_t value);
void append16(Bytes& bytes, uint16_t value);
void append32(Bytes& bytes, uint32_t value);
void append(Bytes& bytes, const Bytes& more);

}  // namespace sluice::test
