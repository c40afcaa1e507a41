// SPDX-License-Identifier: Apache-2.0
// Who has an address that several objects claim: the one whose key sorts first. A part of resolve.
#pragma once

#include <set>
#include <utility>

#include "lib/ip/ip.h"

namespace sluice {

template <class Key>
class AddressClaims {
 public:
  // Adds to `touched` whoever sees another owner than before, and `key` itself. Adding what is
  // there and removing what is not change nothing.
  void add(const Address& address, const Key& key, std::set<Key>& touched) {
    if (!claims_.emplace(address, key).second) return;
    touched.insert(key);
    if (owner(address) == key) touch_all(address, touched);
  }
  void remove(const Address& address, const Key& key, std::set<Key>& touched) {
    const bool owned = owner(address) == key;
    if (claims_.erase({address, key}) == 0) return;
    touched.insert(key);
    if (owned) touch_all(address, touched);
  }
  // A claimed address always has one; asked for another, some key that does not matter.
  Key owner(const Address& address) const {
    const auto first = first_claim(address);
    return first == claims_.end() ? Key{} : first->second;
  }

 private:
  auto first_claim(const Address& address) const { return claims_.lower_bound({address, Key{}}); }
  void touch_all(const Address& address, std::set<Key>& touched) const {
    for (auto claim = first_claim(address); claim != claims_.end() && claim->first == address;
         ++claim) {
      touched.insert(claim->second);
    }
  }

  std::set<std::pair<Address, Key>> claims_;
};

}  // namespace sluice
