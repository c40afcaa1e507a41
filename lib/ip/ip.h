// SPDX-License-Identifier: Apache-2.0
// Addresses of both families in one form: 16 bytes in network order, IPv4 mapped (::ffff:a.b.c.d),
// as in bpf/abi.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "bpf/abi/types.h"
#include "lib/result/result.h"

namespace sluice {

struct Address {
  std::array<uint8_t, 16> bytes{};  // all zero: no address

  auto operator<=>(const Address&) const = default;
  bool is_ipv4() const;         // in ::ffff:0:0/96
  bool is_unspecified() const;  // all zero, or 0.0.0.0
  bool is_set() const;          // not all zero
};

// A range of addresses; length counts bits of the mapped form (10.0.0.0/8 has 104). Host bits are
// zero.
struct Prefix {
  Address address;
  uint8_t length = 0;  // 0..128

  auto operator<=>(const Prefix&) const = default;
  bool is_ipv4() const { return address.is_ipv4() && length >= 96; }
  uint8_t family_length() const { return is_ipv4() ? static_cast<uint8_t>(length - 96) : length; }
};

struct Mac {
  std::array<uint8_t, 6> bytes{};
  auto operator<=>(const Mac&) const = default;
};

// "10.0.0.1", "fd00::1". kInvalid names the text.
Result<Address> parse_address(std::string_view text);
// "10.0.0.0/24", "fd00::/64"; an address alone is a host prefix. kInvalid where host bits are set.
Result<Prefix> parse_prefix(std::string_view text);
std::string to_string(const Address& address);  // IPv4 dotted, IPv6 as RFC 5952
std::string to_string(const Prefix& prefix);
std::string to_string(const Mac& mac);  // "02:00:00:00:00:01"

Prefix host_prefix(const Address& address);
// The range of this length that `address` is in. length: 0..128.
Prefix prefix_around(const Address& address, uint8_t length);
bool contains(const Prefix& prefix, const Address& address);
bool overlaps(const Prefix& a, const Prefix& b);
// The address `offset` after `base`; nullopt past the end of the 128 bits.
std::optional<Address> advance(const Address& base, uint64_t offset);

ip_addr to_abi(const Address& address);
Address from_abi(const ip_addr& address);

}  // namespace sluice

template <>
struct std::hash<sluice::Address> {
  size_t operator()(const sluice::Address& address) const noexcept;
};
