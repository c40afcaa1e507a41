// SPDX-License-Identifier: Apache-2.0
// Which of the pod CIDRs that overlap is used.
#include "operator/resolve/cidr_claims.h"

namespace sluice {
// Two prefixes overlap where one contains the other: the wider ones are found by their lengths, the
// narrower ones stand together in the order of addresses.
template <class Visit>
void CidrClaims::visit_overlapping(const Prefix& cidr, const Visit& visit) {
  for (uint8_t length = 0; length < cidr.length; ++length) {
    if (lengths_[length] == 0) continue;
    const auto wide = claims_.find(prefix_around(cidr.address, length));
    if (wide != claims_.end()) visit(wide->first, wide->second);
  }
  for (auto narrow = claims_.lower_bound(cidr);
       narrow != claims_.end() && contains(cidr, narrow->first.address); ++narrow) {
    visit(narrow->first, narrow->second);
  }
}

void CidrClaims::add(const Prefix& cidr, const Rank& rank) {
  const auto [claims, is_new] = claims_.try_emplace(cidr);
  if (is_new) ++lengths_[cidr.length];
  claims->second.emplace(rank, false);
}

void CidrClaims::remove(const Prefix& cidr, const Rank& rank, std::set<std::string>& touched) {
  const auto claims = claims_.find(cidr);
  if (claims == claims_.end()) return;
  const auto claim = claims->second.find(rank);
  if (claim == claims->second.end()) return;
  if (claim->second) touch_later(cidr, rank, touched);
  claims->second.erase(claim);
  if (!claims->second.empty()) return;
  claims_.erase(claims);
  --lengths_[cidr.length];
}

std::optional<CidrClaims::Holder> CidrClaims::decide(const Prefix& cidr, const Rank& rank,
                                                     std::set<std::string>& touched) {
  auto other = holder(cidr, rank);
  bool& granted = claims_.at(cidr).at(rank);
  if (granted == other.has_value()) {
    granted = !other;
    touch_later(cidr, rank, touched);
  }
  return other;
}

// Of several, the one with the lowest address.
std::optional<CidrClaims::Holder> CidrClaims::holder(const Prefix& cidr, const Rank& rank) {
  std::optional<Holder> found;
  visit_overlapping(cidr, [&](const Prefix& other, const Claims& claims) {
    if (found) return;
    for (const auto& [claim, granted] : claims) {
      if (claim >= rank) return;
      if (granted) {
        found = Holder{.cidr = other, .node = claim.first};
        return;
      }
    }
  });
  return found;
}

void CidrClaims::touch_later(const Prefix& cidr, const Rank& rank, std::set<std::string>& touched) {
  visit_overlapping(cidr, [&](const Prefix&, const Claims& claims) {
    for (auto later = claims.upper_bound(rank); later != claims.end(); ++later)
      touched.insert(later->first.first);
  });
}

}  // namespace sluice
