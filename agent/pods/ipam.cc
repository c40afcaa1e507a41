// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/ipam.h"

#include <algorithm>
#include <limits>

namespace sluice {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

// Offset of the last address of a range; cut at 2^64-1, which nobody walks to.
uint64_t last_offset(const Prefix& cidr) {
  const unsigned host_bits = 128U - cidr.length;
  return host_bits >= 64 ? kNoLimit : (uint64_t{1} << host_bits) - 1;
}

std::string seconds(int64_t ms) {
  return std::to_string((ms + 999) / 1000) + " s";
}

}  // namespace

void IpPools::set_ranges(std::span<const Prefix> pod_cidrs) {
  pools_.clear();
  for (const Prefix& cidr : pod_cidrs) {
    Pool pool{.cidr = cidr, .last = last_offset(cidr)};
    if (pool.last > 1) {
      pool.first = 1;
      if (cidr.is_ipv4()) --pool.last;
    }
    pool.next = pool.first;
    pools_.push_back(pool);
  }
  for (auto entry = freed_.begin(); entry != freed_.end();) {
    if (Pool* pool = pool_of(entry->first)) {
      ++pool->freed;
      ++entry;
    } else {
      freed_order_.erase({entry->second, entry->first});
      entry = freed_.erase(entry);
    }
  }
}

void IpPools::set_reserved(std::vector<Address> addresses) {
  reserved_.clear();
  reserved_.insert(addresses.begin(), addresses.end());
}

std::vector<Address> IpPools::reserved_in_ranges() const {
  std::vector<Address> all;
  for (const Address& each : reserved_) {
    if (std::ranges::any_of(pools_, [&](const Pool& pool) { return hands_out(pool, each); }))
      all.push_back(each);
  }
  return all;
}

bool IpPools::hands_out(const Pool& pool, const Address& address) {
  if (!contains(pool.cidr, address)) return false;
  if (pool.first == 0) return true;
  if (address == pool.cidr.address) return false;
  return !pool.cidr.is_ipv4() || address != advance(pool.cidr.address, pool.last + 1);
}

bool IpPools::has_range(bool ipv4) const {
  return std::ranges::any_of(pools_, [&](const Pool& pool) { return pool.cidr.is_ipv4() == ipv4; });
}

IpPools::Pool* IpPools::pool_of(const Address& address) {
  const auto found =
      std::ranges::find_if(pools_, [&](const Pool& pool) { return contains(pool.cidr, address); });
  return found == pools_.end() ? nullptr : &*found;
}

std::optional<Address> IpPools::take_never_used(Pool& pool) {
  while (!pool.walked) {
    const std::optional<Address> candidate = advance(pool.cidr.address, pool.next);
    if (pool.next == pool.last) pool.walked = true;
    ++pool.next;
    if (!candidate) return std::nullopt;
    if (used_.contains(*candidate) || freed_.contains(*candidate)) continue;
    if (!reserved_.contains(*candidate)) return candidate;
    remember_freed(*candidate, -rest_ms_);  // the walk does not come back to it
  }
  return std::nullopt;
}

std::optional<Address> IpPools::take_rested(const Pool* pool, bool ipv4, int64_t now_ms) {
  for (const auto& [freed_ms, address] : freed_order_) {
    if (freed_ms + rest_ms_ > now_ms) return std::nullopt;
    if (reserved_.contains(address)) continue;
    if (pool != nullptr ? contains(pool->cidr, address) : address.is_ipv4() == ipv4) return address;
  }
  return std::nullopt;
}

Result<Address> IpPools::allocate(bool ipv4, int64_t now_ms) {
  if (!has_range(ipv4)) {
    return fail(ErrorCode::kUnavailable,
                std::string("the node has no ") + (ipv4 ? "IPv4" : "IPv6") + " pod CIDR yet");
  }
  std::optional<Address> chosen;
  for (Pool& pool : pools_) {
    if (pool.cidr.is_ipv4() != ipv4) continue;
    if (pool.freed >= kFreedMax) chosen = take_rested(&pool, ipv4, now_ms);
    if (!chosen) chosen = take_never_used(pool);
    if (chosen) break;
  }
  if (!chosen) chosen = take_rested(nullptr, ipv4, now_ms);
  if (!chosen) {
    ++exhausted_total_;
    return fail(exhausted_error(ipv4, now_ms));
  }
  forget_freed(*chosen);
  used_.insert(*chosen);
  return *chosen;
}

Status IpPools::claim(const Address& address) {
  if (!used_.insert(address).second) {
    return fail(ErrorCode::kExists, "address " + to_string(address) + " is in use already");
  }
  forget_freed(address);
  return {};
}

void IpPools::release(const Address& address, int64_t now_ms) {
  if (used_.erase(address) != 0) remember_freed(address, now_ms);
}

void IpPools::give_back(const Address& address) {
  if (used_.erase(address) != 0) remember_freed(address, -rest_ms_);
}

void IpPools::remember_freed(const Address& address, int64_t freed_ms) {
  Pool* pool = pool_of(address);
  if (pool == nullptr && !pools_.empty()) return;  // its range left the node while it was in use
  forget_freed(address);
  freed_[address] = freed_ms;
  freed_order_.emplace(freed_ms, address);
  if (pool != nullptr) ++pool->freed;
}

void IpPools::forget_freed(const Address& address) {
  const auto found = freed_.find(address);
  if (found == freed_.end()) return;
  freed_order_.erase({found->second, address});
  freed_.erase(found);
  if (Pool* pool = pool_of(address)) --pool->freed;
}

std::vector<FreedAddress> IpPools::freed() const {
  std::vector<FreedAddress> all;
  all.reserve(freed_order_.size());
  for (const auto& [freed_ms, address] : freed_order_) {
    all.push_back({.address = address, .freed_unix_ms = freed_ms});
  }
  return all;
}

void IpPools::restore_freed(std::span<const FreedAddress> freed, int64_t now_ms) {
  for (const FreedAddress& entry : freed) {
    if (used_.contains(entry.address)) continue;
    // A clock that was set back must not make an address rest for years.
    remember_freed(entry.address, std::min(entry.freed_unix_ms, now_ms));
  }
}

PoolStats IpPools::stats_of(const Pool& pool, int64_t now_ms) const {
  const uint64_t span = pool.last - pool.first;
  PoolStats stats{.cidr = pool.cidr, .total = span == kNoLimit ? kNoLimit : span + 1};
  stats.used = static_cast<uint64_t>(
      std::ranges::count_if(used_, [&](const Address& each) { return contains(pool.cidr, each); }));
  for (const auto& [freed_ms, address] : freed_order_) {
    const bool rests = freed_ms + rest_ms_ > now_ms && !reserved_.contains(address);
    if (rests && contains(pool.cidr, address)) ++stats.resting;
  }
  stats.reserved = static_cast<uint64_t>(std::ranges::count_if(reserved_, [&](const Address& each) {
    return hands_out(pool, each) && !used_.contains(each);
  }));
  if (stats.total != kNoLimit) stats.total -= stats.reserved;
  return stats;
}

std::vector<PoolStats> IpPools::stats(int64_t now_ms) const {
  std::vector<PoolStats> all;
  for (const Pool& pool : pools_) all.push_back(stats_of(pool, now_ms));
  return all;
}

Error IpPools::exhausted_error(bool ipv4, int64_t now_ms) const {
  Error error{.code = ErrorCode::kExhausted, .context = "no free pod address:"};
  for (const Pool& pool : pools_) {
    if (pool.cidr.is_ipv4() != ipv4) continue;
    const PoolStats stats = stats_of(pool, now_ms);
    error.context += " pool " + to_string(pool.cidr) + ": " + std::to_string(stats.total) +
                     " total, " + std::to_string(stats.used) + " used, " +
                     std::to_string(stats.resting) + " resting";
    if (stats.reserved != 0) {
      error.context += " (" + std::to_string(stats.reserved) +
                       " more are the host's own or its routers', see the agent's log)";
    }
    for (const auto& [freed_ms, address] : freed_order_) {
      if (!contains(pool.cidr, address) || reserved_.contains(address)) continue;
      error.context += " (the next is free in " +
                       seconds(std::max<int64_t>(freed_ms + rest_ms_ - now_ms, 0)) + ")";
      break;
    }
    error.context += ";";
  }
  error.context += " fewer pods on this node or a larger pod CIDR helps";
  return error;
}

}  // namespace sluice
