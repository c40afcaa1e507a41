// SPDX-License-Identifier: Apache-2.0
// Inside apply: one kernel map held equal to wanted rows; and walking a map in pieces.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "agent/apply/datapath.h"
#include "bpf/abi/endpoint.h"
#include "lib/result/result.h"

namespace sluice {

// Walks any hash or trie map in batches. Between steps the map may change: a row that stays is met
// at least once, a row that comes or goes may be missed.
class TableWalker {
 public:
  // value_bytes: as the kernel hands it over (per-CPU maps: all CPUs' values).
  TableWalker(std::string name, int fd, size_t key_bytes, size_t value_bytes);

  using Visit = std::function<void(const char* key, const char* value)>;
  // Visits about `budget` rows; at least one bucket. True at the end; the next step starts anew.
  Result<bool> step(size_t budget, const Visit& visit);
  Status all(const Visit& visit);

 private:
  std::string name_;
  int fd_;
  size_t key_bytes_;
  size_t value_bytes_;
  bool started_ = false;
  std::vector<char> position_;
  std::vector<char> next_;
  std::vector<char> keys_;
  std::vector<char> values_;
};

// The order of rows inside a TableContent; for identities that of std::map<Prefix, ...>.
bool key_less(uint32_t a, uint32_t b);
bool key_less(const identity_key& a, const identity_key& b);
std::string key_text(uint32_t ifindex);
std::string key_text(const identity_key& key);
// The device whose pod is without the row where the kernel refuses it; 0: no single one.
template <class Row>
uint32_t row_ifindex(uint32_t ifindex, const Row&) {
  return ifindex;
}
uint32_t row_ifindex(const identity_key& key, const identity_row& row);

template <class Key, class Row>
using TableContent = std::vector<std::pair<Key, Row>>;  // sorted by key_less, no key twice

// What has to be done to get from one content to another.
template <class Key, class Row>
struct TableDifference {
  TableContent<Key, Row> upserts;
  std::vector<Key> deletes;
};

template <class Row>
bool same_row(const Row& a, const Row& b) {
  return std::memcmp(&a, &b, sizeof(Row)) == 0;  // ABI structs have no unnamed holes
}

// Pure.
template <class Key, class Row>
TableDifference<Key, Row> difference(const TableContent<Key, Row>& have,
                                     const TableContent<Key, Row>& want) {
  TableDifference<Key, Row> result;
  auto old = have.begin();
  for (const auto& row : want) {
    for (; old != have.end() && key_less(old->first, row.first); ++old) {
      result.deletes.push_back(old->first);
    }
    const bool known = old != have.end() && !key_less(row.first, old->first);
    if (!known || !same_row(old->second, row.second)) result.upserts.push_back(row);
    if (known) ++old;
  }
  for (; old != have.end(); ++old) result.deletes.push_back(old->first);
  return result;
}

// One map. Call per apply, in this order: write (creates before use), then, when everything that
// used the old rows is gone, finish (deletes, and retries what the full table refused before).
template <class Key, class Row>
class KernelTable {
 public:
  // error_limit: failures described in a report, but for those of single devices, which all are;
  // all are counted.
  KernelTable(std::string name, int fd, size_t error_limit)
      : name_(std::move(name)), fd_(fd), error_limit_(error_limit) {}

  // Reads what the kernel holds.
  Status load();
  void write(const TableContent<Key, Row>& want, ApplyReport& report);
  void finish(ApplyReport& report);
  size_t size() const { return have_.size(); }

 private:
  int update(const std::pair<Key, Row>& row) const;  // 0 or errno
  int erase(const Key& key) const;
  void record(const std::pair<Key, Row>& row, const char* doing, int code, ApplyReport& report);
  void settle(const TableContent<Key, Row>& done);

  std::string name_;
  int fd_;
  size_t error_limit_;
  size_t described_ = 0;
  TableContent<Key, Row> have_;
  TableContent<Key, Row> refused_;
  std::vector<Key> deletes_;
};

extern template class KernelTable<uint32_t, endpoint_row>;
extern template class KernelTable<uint32_t, device_row>;
extern template class KernelTable<identity_key, identity_row>;

}  // namespace sluice
