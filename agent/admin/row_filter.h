// SPDX-License-Identifier: Apache-2.0
// Which rows of the big tables an answer takes: asked for by address, port and protocol, bounded by
// number and bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "admin/v1/admin.pb.h"
#include "bpf/abi/ct.h"
#include "bpf/abi/endpoint.h"
#include "lib/ip/ip.h"
#include "lib/result/result.h"

namespace sluice {

class RowFilter {
 public:
  // kInvalid names the field.
  static Result<RowFilter> make(const admin::v1::RowFilter& asked);

  bool matches(const ct_key& key) const;
  bool matches(const nat_key& key, const nat_row& row) const;
  bool matches(const identity_key& key) const;  // by address only

  // Counts a row that matches; false once the answer is full, from then on for good.
  bool takes(size_t row_bytes);
  uint64_t matched() const { return matched_; }

 private:
  std::optional<Address> address_;
  uint16_t port_be_ = 0;  // 0: any
  std::string protocol_;  // empty: any
  uint64_t limit_ = 0;    // 0: bounded by bytes only
  uint64_t matched_ = 0;
  uint64_t taken_ = 0;
  size_t bytes_ = 0;
  bool full_ = false;
};

}  // namespace sluice
