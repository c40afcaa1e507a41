// SPDX-License-Identifier: Apache-2.0
// Values by prefix, asked by address: the longest prefix that holds it wins. For tables of user
// space.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <map>

#include "lib/ip/ip.h"

namespace sluice {

template <class T>
class PrefixMap {
 public:
  void insert(const Prefix& prefix, T value) {
    lengths_.set(prefix.length);
    rows_.insert_or_assign(prefix, std::move(value));
  }

  // Null where no prefix holds the address. One look-up for each length that occurs.
  const T* find(const Address& address) const {
    for (int length = 128; length >= 0; --length) {
      if (!lengths_.test(static_cast<size_t>(length))) continue;
      const auto row = rows_.find(masked(address, static_cast<uint8_t>(length)));
      if (row != rows_.end()) return &row->second;
    }
    return nullptr;
  }

  bool empty() const { return rows_.empty(); }

 private:
  static Prefix masked(const Address& address, uint8_t length) {
    Prefix prefix{.address = address, .length = length};
    for (uint8_t bit = length; bit < 128;) {
      auto& byte = prefix.address.bytes[bit / 8];
      byte = static_cast<uint8_t>(byte & ~(0xff >> (bit % 8)));
      bit = static_cast<uint8_t>((bit / 8 + 1) * 8);
    }
    return prefix;
  }

  std::map<Prefix, T> rows_;
  std::bitset<129> lengths_;
};

}  // namespace sluice
