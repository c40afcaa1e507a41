// SPDX-License-Identifier: Apache-2.0
// ICMP and ICMPv6 messages: types, codes and bodies.
#include "tests/packets/icmp.h"

#include <algorithm>

namespace sluice::test {

namespace {

constexpr uint32_t kMtu = 1400;

Bytes neighbour_body(const Address& target, uint8_t option, const Mac& mac) {
  Bytes out(target.bytes.begin(), target.bytes.end());
  append(out, {option, 1});
  append(out, Bytes(mac.bytes.begin(), mac.bytes.end()));
  return out;
}

}  // namespace

Icmp echo_request(bool is_v6, uint16_t id) {
  return {.type = is_v6 ? uint8_t{128} : uint8_t{8},
          .rest = static_cast<uint32_t>(id) << 16 | 1,
          .payload = Bytes(24, 0xa5)};
}

Icmp echo_reply(bool is_v6, uint16_t id) {
  return {.type = is_v6 ? uint8_t{129} : uint8_t{0},
          .rest = static_cast<uint32_t>(id) << 16 | 1,
          .payload = Bytes(24, 0xa5)};
}

Icmp icmp_error(bool is_v6, ErrorKind kind, const Bytes& about, size_t quote_bytes) {
  Icmp out;
  out.payload.assign(about.begin(), about.begin() + static_cast<std::ptrdiff_t>(
                                                        std::min(quote_bytes, about.size())));
  switch (kind) {
    case ErrorKind::kUnreachable:
      out.type = is_v6 ? 1 : 3;
      out.code = is_v6 ? 4 : 3;
      break;
    case ErrorKind::kTooBig:
      out.type = is_v6 ? 2 : 3;
      out.code = is_v6 ? 0 : 4;
      out.rest = kMtu;
      break;
    case ErrorKind::kTimeExceeded:
      out.type = is_v6 ? 3 : 11;
      break;
  }
  return out;
}

Icmp neighbour_solicitation(const Address& target, const Mac& sender) {
  return {.type = 135, .payload = neighbour_body(target, 1, sender)};
}

Icmp neighbour_advertisement(const Address& target, const Mac& owner) {
  return {.type = 136, .rest = 0x20000000, .payload = neighbour_body(target, 2, owner)};
}

Icmp router_solicitation() {
  return {.type = 133};
}

Icmp mld_report() {
  Bytes record = {4, 0, 0, 0};  // CHANGE_TO_EXCLUDE_MODE, no sources
  const Address group = addr("ff02::1:ff00:10");
  append(record, Bytes(group.bytes.begin(), group.bytes.end()));
  return {.type = 143, .rest = 1, .payload = record};
}

Address solicited_node(const Address& target) {
  Address out = addr("ff02::1:ff00:0");
  std::copy(target.bytes.begin() + 13, target.bytes.end(), out.bytes.begin() + 13);
  return out;
}

}  // namespace sluice::test
