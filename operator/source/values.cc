// SPDX-License-Identifier: Apache-2.0
// What a field of an object may hold.
#include "operator/source/values.h"

#include <array>
#include <string>

namespace sluice {
namespace {

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

// Ranges that no pod and no node can have: this host, link-local, multicast.
const Prefix* special_range(const Prefix& prefix) {
  static const std::array<Prefix, 6> kSpecial = {
      *parse_prefix("127.0.0.0/8"), *parse_prefix("169.254.0.0/16"), *parse_prefix("224.0.0.0/4"),
      *parse_prefix("::1/128"),     *parse_prefix("fe80::/10"),      *parse_prefix("ff00::/8"),
  };
  for (const Prefix& special : kSpecial) {
    if (overlaps(special, prefix)) return &special;
  }
  return nullptr;
}

}  // namespace

Result<Address> object_address(std::string_view text) {
  const auto address = parse_address(text);
  if (!address) return fail(ErrorCode::kInvalid, quoted(text) + " is not an IP address");
  const Prefix* special = special_range(host_prefix(*address));
  if (address->is_unspecified() || special != nullptr) {
    return fail(ErrorCode::kInvalid, quoted(text) + " cannot be the address of a node or a pod" +
                                         (special ? ": it is in " + to_string(*special) : ""));
  }
  return *address;
}

Result<Prefix> pod_cidr(std::string_view text) {
  const auto prefix = parse_prefix(text);
  if (text.find('/') == std::string::npos || !prefix) {
    const std::string why = prefix ? "the length is missing" : prefix.error().context;
    return fail(ErrorCode::kInvalid, quoted(text) + " is not a CIDR: " + why);
  }
  if (prefix->family_length() == 0) {
    return fail(ErrorCode::kInvalid,
                quoted(text) + " cannot be a pod CIDR: it holds every address");
  }
  if (const Prefix* special = special_range(*prefix)) {
    return fail(ErrorCode::kInvalid,
                quoted(text) + " cannot be a pod CIDR: it overlaps " + to_string(*special));
  }
  return *prefix;
}

}  // namespace sluice
