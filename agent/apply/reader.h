// SPDX-License-Identifier: Apache-2.0
// What the kernel's tables hold, for admin, metrics and events: reads only.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bpf/abi/ct.h"
#include "bpf/abi/endpoint.h"
#include "bpf/abi/event.h"
#include "bpf/abi/verdict.h"
#include "lib/fd/fd.h"
#include "lib/result/result.h"

namespace sluice {

struct DropCount {
  drop_key key{};
  counter count{};
};

struct TableSize {
  std::string name;  // "sl_ct"
  uint64_t entries = 0;
  uint64_t max_entries = 0;
};

using VerdictCounts = std::array<std::array<counter, VERDICT_MAX>, HOOK_MAX>;  // [hook][verdict]
using EventLosses = std::array<uint64_t, EVENT_KIND_MAX>;                      // [event kind]
template <class Key, class Row>
using TableRows = std::vector<std::pair<Key, Row>>;

struct SharedMaps;

// Thread: any, also several at once; holds the maps open as long as it lives. Tables change while
// they are read: a row that moves may be missed or met twice.
class DatapathReader {
 public:
  explicit DatapathReader(const SharedMaps& maps) : maps_(maps) {}

  // Sums over all CPUs.
  Result<VerdictCounts> verdicts() const;
  Result<std::vector<DropCount>> drops() const;
  Result<EventLosses> event_losses() const;  // records that the ring had no room for

  // At most `limit` rows.
  Result<TableRows<ct_key, ct_entry>> conntrack(size_t limit = SIZE_MAX) const;
  Result<TableRows<nat_key, nat_row>> translations(size_t limit = SIZE_MAX) const;
  Result<TableRows<identity_key, identity_row>> identities(size_t limit = SIZE_MAX) const;
  Result<TableRows<uint32_t, endpoint_row>> endpoints() const;
  Result<TableRows<uint32_t, device_row>> devices() const;
  Result<node_row> node() const;

  // Walks the tables: tens of milliseconds at half a million rows.
  Result<std::vector<TableSize>> table_sizes() const;

  // sl_events, for ring_buffer__new; owned by the datapath, valid as long as it lives.
  int events_fd() const;

 private:
  const SharedMaps& maps_;
};

}  // namespace sluice
