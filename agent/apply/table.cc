// SPDX-License-Identifier: Apache-2.0
// Inside apply: one kernel map held equal to wanted rows; and walking a map in pieces.
#include "agent/apply/table.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>

#include "lib/ip/ip.h"

namespace sluice {

namespace {

constexpr size_t kWalkBatch = 4096;

template <class Key, class Row>
bool row_less(const std::pair<Key, Row>& a, const std::pair<Key, Row>& b) {
  return key_less(a.first, b.first);
}

}  // namespace

TableWalker::TableWalker(std::string name, int fd, size_t key_bytes, size_t value_bytes)
    : name_(std::move(name)),
      fd_(fd),
      key_bytes_(key_bytes),
      value_bytes_(value_bytes),
      // Hash maps keep a bucket number there, others a key.
      position_(std::max(key_bytes, sizeof(uint64_t))),
      next_(position_.size()) {}

Result<bool> TableWalker::step(size_t budget, const Visit& visit) {
  budget = std::max<size_t>(budget, 1);
  for (;;) {
    keys_.resize(std::max(keys_.size(), budget * key_bytes_));
    values_.resize(std::max(values_.size(), budget * value_bytes_));
    auto count = static_cast<uint32_t>(budget);
    const int code = bpf_map_lookup_batch(fd_, started_ ? position_.data() : nullptr, next_.data(),
                                          keys_.data(), values_.data(), &count, nullptr);
    if (code == -ENOSPC) {  // one bucket holds more than that
      budget *= 2;
      continue;
    }
    if (code != 0 && code != -ENOENT) {
      started_ = false;
      return fail(from_errno("read map " + name_, -code));
    }
    for (size_t i = 0; i < count; i++) {
      visit(keys_.data() + i * key_bytes_, values_.data() + i * value_bytes_);
    }
    started_ = code == 0;
    std::swap(position_, next_);
    return !started_;
  }
}

Status TableWalker::all(const Visit& visit) {
  for (;;) {
    const auto ended = step(kWalkBatch, visit);
    if (!ended) return fail(ended.error());
    if (*ended) return {};
  }
}

bool key_less(uint32_t a, uint32_t b) {
  return a < b;
}

bool key_less(const identity_key& a, const identity_key& b) {
  const int order = std::memcmp(a.addr, b.addr, sizeof(a.addr));
  return order != 0 ? order < 0 : a.prefix_bits < b.prefix_bits;
}

std::string key_text(uint32_t ifindex) {
  return "device " + std::to_string(ifindex);
}

std::string key_text(const identity_key& key) {
  Prefix prefix;
  std::memcpy(prefix.address.bytes.data(), key.addr, sizeof(key.addr));
  prefix.length = static_cast<uint8_t>(key.prefix_bits);
  return to_string(prefix);
}

// A remote pod's row may name an uplink: its failure is not one device's.
uint32_t row_ifindex(const identity_key&, const identity_row& row) {
  return (row.flags & ADDRESS_LOCAL_POD) != 0 ? row.ifindex : 0;
}

template <class Key, class Row>
Status KernelTable<Key, Row>::load() {
  TableContent<Key, Row> found;
  TableWalker walker(name_, fd_, sizeof(Key), sizeof(Row));
  auto done = walker.all([&found](const char* key, const char* value) {
    auto& row = found.emplace_back();
    std::memcpy(&row.first, key, sizeof(Key));
    std::memcpy(&row.second, value, sizeof(Row));
  });
  if (!done) return done;
  std::sort(found.begin(), found.end(), row_less<Key, Row>);
  const auto same = [](const auto& a, const auto& b) {
    return !key_less(a.first, b.first) && !key_less(b.first, a.first);
  };
  found.erase(std::unique(found.begin(), found.end(), same), found.end());
  have_ = std::move(found);
  return {};
}

template <class Key, class Row>
int KernelTable<Key, Row>::update(const std::pair<Key, Row>& row) const {
  return -bpf_map_update_elem(fd_, &row.first, &row.second, BPF_ANY);
}

template <class Key, class Row>
int KernelTable<Key, Row>::erase(const Key& key) const {
  const int code = -bpf_map_delete_elem(fd_, &key);
  return code == ENOENT ? 0 : code;
}

template <class Key, class Row>
void KernelTable<Key, Row>::record(const std::pair<Key, Row>& row, const char* doing, int code,
                                   ApplyReport& report) {
  const Key& key = row.first;
  report.failed++;
  const uint32_t ifindex = row_ifindex(key, row.second);
  // A pod must hear of its own row, however many others failed before.
  if (ifindex == 0 && described_++ >= error_limit_) return;
  std::string context = std::string(doing) + " map " + name_ + " row of " + key_text(key);
  if (code == E2BIG || code == ENOSPC) {
    context += " (the table is full with " + std::to_string(have_.size()) + " rows)";
  }
  report.errors.push_back(ObjectError{.object = name_ + " " + key_text(key),
                                      .ifindex = ifindex,
                                      .error = from_errno(std::move(context), code)});
}

// Remembers rows that the kernel has taken.
template <class Key, class Row>
void KernelTable<Key, Row>::settle(const TableContent<Key, Row>& done) {
  if (done.empty()) return;
  TableContent<Key, Row> merged;
  merged.reserve(have_.size() + done.size());
  auto old = have_.begin();
  for (const auto& row : done) {
    for (; old != have_.end() && key_less(old->first, row.first); ++old) merged.push_back(*old);
    if (old != have_.end() && !key_less(row.first, old->first)) ++old;
    merged.push_back(row);
  }
  merged.insert(merged.end(), old, have_.end());
  have_ = std::move(merged);
}

template <class Key, class Row>
void KernelTable<Key, Row>::write(const TableContent<Key, Row>& want, ApplyReport& report) {
  auto changes = difference(have_, want);
  deletes_ = std::move(changes.deletes);
  refused_.clear();
  described_ = 0;
  TableContent<Key, Row> done;
  for (const auto& row : changes.upserts) {
    (update(row) == 0 ? done : refused_).push_back(row);
  }
  report.written += done.size();
  settle(done);
}

template <class Key, class Row>
void KernelTable<Key, Row>::finish(ApplyReport& report) {
  TableContent<Key, Row> left;
  auto next = deletes_.begin();
  if (!deletes_.empty()) {
    left.reserve(have_.size() - std::min(have_.size(), deletes_.size()));
    for (const auto& row : have_) {
      while (next != deletes_.end() && key_less(*next, row.first)) ++next;
      const bool unwanted = next != deletes_.end() && !key_less(row.first, *next);
      const int code = unwanted ? erase(row.first) : 0;
      if (code != 0) record(row, "delete from", code, report);
      if (!unwanted || code != 0) left.push_back(row);
      if (unwanted && code == 0) report.deleted++;
    }
    have_ = std::move(left);
    deletes_.clear();
  }
  TableContent<Key, Row> done;
  for (const auto& row : refused_) {
    const int code = update(row);
    if (code == 0) done.push_back(row);
    if (code != 0) record(row, "update", code, report);
  }
  refused_.clear();
  report.written += done.size();
  settle(done);
}

template class KernelTable<uint32_t, endpoint_row>;
template class KernelTable<uint32_t, device_row>;
template class KernelTable<identity_key, identity_row>;

}  // namespace sluice
