// SPDX-License-Identifier: Apache-2.0
// Which addresses of the node's pod CIDRs are free. Pure: the clock is passed in, history comes
// from the store.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "lib/ip/ip.h"
#include "lib/result/result.h"
#include "operator/resolve/intent.h"

namespace sluice {

inline constexpr std::chrono::milliseconds kAddressRest{30'000};
// So many freed addresses a range remembers before it reuses rested ones ahead of never used ones:
// memory and the state file stay small however large the range is.
inline constexpr size_t kFreedMax = 512;

struct FreedAddress {
  Address address;
  int64_t freed_unix_ms = 0;
  bool operator==(const FreedAddress&) const = default;
};

struct PoolStats {
  Prefix cidr;
  uint64_t total = 0;  // that can be handed out; 2^64-1 where there are more
  uint64_t used = 0;
  uint64_t resting = 0;   // freed less than the rest time ago
  uint64_t reserved = 0;  // not counted in total: they are somebody else's
};

// The ranges of both families of one node. Order of choice: never used, ascending; then least
// recently freed, but none before its rest is over. The first address of a range and, for IPv4, the
// last one are never handed out (ranges of one or two addresses are handed out whole), nor what is
// reserved. Thread: the control loop.
class IpPools {
 public:
  explicit IpPools(std::chrono::milliseconds rest = kAddressRest) : rest_ms_(rest.count()) {}

  // Replaces the ranges. Addresses in use stay in use, inside the new ranges or not.
  void set_ranges(std::span<const Prefix> pod_cidrs);
  bool has_range(bool ipv4) const;
  // Addresses that are not for pods though a range may hold them: the host's own, its routers'.
  // A pod that has one keeps it.
  void set_reserved(std::vector<Address> addresses);
  // Those of them that a range would hand out.
  std::vector<Address> reserved_in_ranges() const;

  // kUnavailable: no range of the family yet. kExhausted: names each range with its total, used and
  // resting addresses.
  Result<Address> allocate(bool ipv4, int64_t now_ms);
  // Marks an address as used, whether or not it lies in a range. kExists: it is used already.
  Status claim(const Address& address);
  // From now on it rests. Nothing happens where it is not in use.
  void release(const Address& address, int64_t now_ms);
  // Takes back an address that no packet ever carried: it need not rest.
  void give_back(const Address& address);

  // What the store keeps, oldest first.
  std::vector<FreedAddress> freed() const;
  void restore_freed(std::span<const FreedAddress> freed, int64_t now_ms);

  std::vector<PoolStats> stats(int64_t now_ms) const;
  uint64_t exhausted_total() const { return exhausted_total_; }  // allocations refused

 private:
  struct Pool {
    Prefix cidr;
    uint64_t first = 0;  // offsets from cidr.address, inclusive
    uint64_t last = 0;
    uint64_t next = 0;    // never handed out from here on (unless claimed)
    bool walked = false;  // next has passed last
    size_t freed = 0;
  };

  std::optional<Address> take_never_used(Pool& pool);
  std::optional<Address> take_rested(const Pool* pool, bool ipv4, int64_t now_ms);
  static bool hands_out(const Pool& pool, const Address& address);
  void remember_freed(const Address& address, int64_t freed_ms);
  void forget_freed(const Address& address);
  Pool* pool_of(const Address& address);
  PoolStats stats_of(const Pool& pool, int64_t now_ms) const;
  Error exhausted_error(bool ipv4, int64_t now_ms) const;

  int64_t rest_ms_;
  std::vector<Pool> pools_;
  std::unordered_set<Address> used_;
  std::set<Address> reserved_;
  std::map<Address, int64_t> freed_;                   // address -> when, unix ms
  std::set<std::pair<int64_t, Address>> freed_order_;  // the same, oldest first
  uint64_t exhausted_total_ = 0;
};

}  // namespace sluice
