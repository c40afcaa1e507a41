// SPDX-License-Identifier: Apache-2.0
// Addresses of both families in one form: parsing, printing and the arithmetic of prefixes.
#include "lib/ip/ip.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace sluice {

namespace {

constexpr std::array<uint8_t, 12> kMappedStart{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// Bits of byte `index` that lie inside the first `length` bits.
uint8_t mask_byte(unsigned length, unsigned index) {
  const unsigned start = index * 8;
  if (length >= start + 8) return 0xff;
  if (length <= start) return 0;
  return static_cast<uint8_t>(0xff00U >> (length - start));
}

bool same_start(const Address& a, const Address& b, unsigned length) {
  for (unsigned i = 0; i < a.bytes.size(); i++) {
    if (((a.bytes[i] ^ b.bytes[i]) & mask_byte(length, i)) != 0) return false;
  }
  return true;
}

tl::unexpected<Error> invalid(std::string_view what, std::string_view text, std::string_view why) {
  std::string context(what);
  context.append(" \"").append(text).append("\": ").append(why);
  return fail(ErrorCode::kInvalid, std::move(context));
}

// Decimal without sign or leading zeros, at most `max`.
std::optional<uint8_t> parse_length(std::string_view text, unsigned max) {
  unsigned value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end || value > max) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return static_cast<uint8_t>(value);
}

}  // namespace

bool Address::is_ipv4() const {
  return std::equal(kMappedStart.begin(), kMappedStart.end(), bytes.begin());
}

bool Address::is_set() const {
  return std::any_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte != 0; });
}

bool Address::is_unspecified() const {
  if (!is_set()) return true;
  return is_ipv4() &&
         std::all_of(bytes.begin() + 12, bytes.end(), [](uint8_t b) { return b == 0; });
}

Result<Address> parse_address(std::string_view text) {
  const std::string copy(text);
  if (copy.find('\0') != std::string::npos) return invalid("address", text, "holds a zero byte");
  Address address;
  if (text.find(':') != std::string_view::npos) {
    if (inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) return address;
    return invalid("address", text, "not an IPv6 address");
  }
  std::copy(kMappedStart.begin(), kMappedStart.end(), address.bytes.begin());
  if (inet_pton(AF_INET, copy.c_str(), address.bytes.data() + 12) == 1) return address;
  return invalid("address", text, "not an IPv4 or IPv6 address");
}

Result<Prefix> parse_prefix(std::string_view text) {
  const auto slash = text.find('/');
  auto address = parse_address(text.substr(0, slash));
  if (!address) return invalid("prefix", text, "not an address and a length");
  if (slash == std::string_view::npos) return host_prefix(*address);
  const bool dotted = text.find(':') == std::string_view::npos;
  const auto length = parse_length(text.substr(slash + 1), dotted ? 32 : 128);
  if (!length)
    return invalid("prefix", text, dotted ? "length not in 0..32" : "length not in 0..128");
  const auto mapped = static_cast<uint8_t>(*length + (dotted ? IPV4_MAPPED_BITS : 0));
  for (unsigned i = 0; i < address->bytes.size(); i++) {
    const auto host_bits = static_cast<uint8_t>(~mask_byte(mapped, i));
    if ((address->bytes[i] & host_bits) != 0) return invalid("prefix", text, "host bits are set");
  }
  return Prefix{.address = *address, .length = mapped};
}

std::string to_string(const Address& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.is_ipv4()) {
    inet_ntop(AF_INET, address.bytes.data() + 12, text, sizeof(text));
  } else {
    inet_ntop(AF_INET6, address.bytes.data(), text, sizeof(text));
  }
  return text;
}

std::string to_string(const Prefix& prefix) {
  return to_string(prefix.address) + "/" + std::to_string(prefix.family_length());
}

std::string to_string(const Mac& mac) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : mac.bytes) {
    if (!text.empty()) text += ':';
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 0xfU];
  }
  return text;
}

Prefix host_prefix(const Address& address) {
  return Prefix{.address = address, .length = 128};
}

Prefix prefix_around(const Address& address, uint8_t length) {
  Prefix prefix{.address = address, .length = length};
  for (unsigned i = 0; i < prefix.address.bytes.size(); ++i)
    prefix.address.bytes[i] &= mask_byte(length, i);
  return prefix;
}

bool contains(const Prefix& prefix, const Address& address) {
  return same_start(prefix.address, address, prefix.length);
}

bool overlaps(const Prefix& a, const Prefix& b) {
  return same_start(a.address, b.address, std::min(a.length, b.length));
}

std::optional<Address> advance(const Address& base, uint64_t offset) {
  Address sum = base;
  uint64_t carry = 0;
  for (size_t i = sum.bytes.size(); i-- > 0;) {
    carry += sum.bytes[i] + (offset & 0xffU);
    sum.bytes[i] = static_cast<uint8_t>(carry & 0xffU);
    carry >>= 8U;
    offset >>= 8U;
  }
  if (carry != 0) return std::nullopt;
  return sum;
}

ip_addr to_abi(const Address& address) {
  ip_addr out = {};
  std::memcpy(out.bytes, address.bytes.data(), sizeof(out.bytes));
  return out;
}

Address from_abi(const ip_addr& address) {
  Address out;
  std::memcpy(out.bytes.data(), address.bytes, sizeof(address.bytes));
  return out;
}

}  // namespace sluice

size_t std::hash<sluice::Address>::operator()(const sluice::Address& address) const noexcept {
  uint64_t halves[2];
  std::memcpy(halves, address.bytes.data(), sizeof(halves));
  // Two odd multipliers and a fold: neighbouring addresses differ only in their last bits.
  uint64_t mixed = halves[0] * 0x9e3779b97f4a7c15ULL ^ (halves[1] * 0xc2b2ae3d27d4eb4fULL);
  mixed ^= mixed >> 32U;
  return static_cast<size_t>(mixed * 0xd6e8feb86659fd93ULL);
}
