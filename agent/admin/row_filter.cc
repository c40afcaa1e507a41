// SPDX-License-Identifier: Apache-2.0
#include "agent/admin/row_filter.h"

#include <endian.h>

#include <algorithm>

#include "agent/admin/decode.h"
#include "lib/frame/frame.h"

namespace sluice {

namespace {

// A frame's bound less room for what wraps the rows.
constexpr size_t kAnswerMaxBytes = kFrameMaxBytes - (1U << 20);
constexpr size_t kRowOverheadBytes = 6;  // field tag and length of a row in its list

bool same(const ip_addr& have, const std::optional<Address>& want) {
  return want.has_value() && from_abi(have) == *want;
}

}  // namespace

Result<RowFilter> RowFilter::make(const admin::v1::RowFilter& asked) {
  RowFilter filter;
  if (!asked.address().empty()) {
    Result<Address> address = parse_address(asked.address());
    if (!address) return fail(within("filter.address", address.error()));
    filter.address_ = *address;
  }
  if (asked.port() > 65535) {
    return fail(ErrorCode::kInvalid,
                "filter.port: " + std::to_string(asked.port()) + " is above 65535");
  }
  filter.port_be_ = htobe16(static_cast<uint16_t>(asked.port()));
  filter.protocol_ = asked.protocol();
  filter.limit_ = asked.limit();
  return filter;
}

bool RowFilter::matches(const ct_key& key) const {
  if (address_ && !same(key.addr_a, address_) && !same(key.addr_b, address_)) return false;
  if (port_be_ != 0 && key.port_a_be != port_be_ && key.port_b_be != port_be_) return false;
  return protocol_.empty() || protocol_ == protocol_name(key.proto);
}

bool RowFilter::matches(const nat_key& key, const nat_row& row) const {
  if (address_ && !same(key.remote, address_) && !same(key.node, address_) &&
      !same(row.pod, address_)) {
    return false;
  }
  if (port_be_ != 0 && key.remote_port_be != port_be_ && key.node_port_be != port_be_ &&
      row.pod_port_be != port_be_) {
    return false;
  }
  return protocol_.empty() || protocol_ == protocol_name(key.proto);
}

bool RowFilter::matches(const identity_key& key) const {
  if (!address_) return true;
  Prefix prefix;
  std::copy(std::begin(key.addr), std::end(key.addr), prefix.address.bytes.begin());
  prefix.length = static_cast<uint8_t>(std::min<uint32_t>(key.prefix_bits, 128));
  return contains(prefix, *address_);
}

bool RowFilter::takes(size_t row_bytes) {
  ++matched_;
  full_ = full_ || (limit_ != 0 && taken_ >= limit_) ||
          bytes_ + row_bytes + kRowOverheadBytes > kAnswerMaxBytes;
  if (full_) return false;
  ++taken_;
  bytes_ += row_bytes + kRowOverheadBytes;
  return true;
}

}  // namespace sluice
