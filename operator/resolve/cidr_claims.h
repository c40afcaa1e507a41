// SPDX-License-Identifier: Apache-2.0
// Which of the pod CIDRs that overlap is used: in the order of their ranks each is granted where
// nothing granted before overlaps it. A part of resolve.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "lib/ip/ip.h"

namespace sluice {

class CidrClaims {
 public:
  using Rank = std::pair<std::string, size_t>;  // node, position in its list
  struct Holder {
    Prefix cidr{};
    std::string node{};
  };

  void add(const Prefix& cidr, const Rank& rank);
  // Adds to `touched` the nodes that have to be decided anew.
  void remove(const Prefix& cidr, const Rank& rank, std::set<std::string>& touched);
  // Decides one claim. All of lower rank have to be decided; adds to `touched` the nodes of higher
  // rank that this changes something for. Returns who holds what overlaps; nullopt: granted.
  std::optional<Holder> decide(const Prefix& cidr, const Rank& rank,
                               std::set<std::string>& touched);

 private:
  using Claims = std::map<Rank, bool>;  // granted

  template <class Visit>
  void visit_overlapping(const Prefix& cidr, const Visit& visit);
  std::optional<Holder> holder(const Prefix& cidr, const Rank& rank);
  void touch_later(const Prefix& cidr, const Rank& rank, std::set<std::string>& touched);

  std::map<Prefix, Claims> claims_;
  std::array<uint32_t, 129> lengths_{};  // how many keys of claims_ have each length
};

}  // namespace sluice
