// SPDX-License-Identifier: Apache-2.0
// What the kernel's tables hold, for admin, metrics and events: reads only.
#include "agent/apply/reader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cstring>

#include "agent/apply/maps.h"
#include "agent/apply/table.h"

namespace sluice {

namespace {

constexpr size_t kBatch = 4096;

Result<size_t> cpu_count() {
  const int count = libbpf_num_possible_cpus();
  if (count < 0) return fail(from_errno("count the possible CPUs", -count));
  return static_cast<size_t>(count);
}

counter sum_of(const char* values, size_t cpus) {
  counter sum = {};
  for (size_t cpu = 0; cpu < cpus; cpu++) {
    counter one = {};
    std::memcpy(&one, values + cpu * sizeof(one), sizeof(one));
    sum.packets += one.packets;
    sum.bytes += one.bytes;
  }
  return sum;
}

template <class Key, class Row>
Result<TableRows<Key, Row>> read_rows(const SharedMaps& maps, const char* name, size_t limit) {
  TableRows<Key, Row> rows;
  TableWalker walker(name, maps.fd(name), sizeof(Key), sizeof(Row));
  while (rows.size() < limit) {
    const auto ended = walker.step(kBatch, [&](const char* key, const char* value) {
      if (rows.size() >= limit) return;
      auto& row = rows.emplace_back();
      std::memcpy(&row.first, key, sizeof(Key));
      std::memcpy(&row.second, value, sizeof(Row));
    });
    if (!ended) return fail(ended.error());
    if (*ended) break;
  }
  return rows;
}

// 0 where a table is no hash or trie: those have no rows that come and go.
Result<uint64_t> count_rows(const std::string& name, int fd, const bpf_map_info& info,
                            size_t cpus) {
  const bool per_cpu = info.type == BPF_MAP_TYPE_PERCPU_HASH;
  const size_t rounded = (size_t{info.value_size} + 7) / 8 * 8;  // what each CPU's value takes
  const size_t value_bytes = per_cpu ? rounded * cpus : info.value_size;
  TableWalker walker(name, fd, info.key_size, value_bytes);
  uint64_t rows = 0;
  auto done = walker.all([&rows](const char*, const char*) { rows++; });
  if (!done) return fail(done.error());
  return rows;
}

bool has_rows(uint32_t type) {
  return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_LPM_TRIE ||
         type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_HASH;
}

}  // namespace

Result<VerdictCounts> DatapathReader::verdicts() const {
  const auto cpus = cpu_count();
  if (!cpus) return fail(cpus.error());
  VerdictCounts counts = {};
  std::vector<char> values(*cpus * sizeof(counter));
  for (uint32_t index = 0; index < counts.size() * VERDICT_MAX; index++) {
    if (bpf_map_lookup_elem(maps_.fd("sl_verdicts"), &index, values.data()) != 0) {
      return fail(from_errno("read map sl_verdicts"));
    }
    counts[index / VERDICT_MAX][index % VERDICT_MAX] = sum_of(values.data(), *cpus);
  }
  return counts;
}

Result<std::vector<DropCount>> DatapathReader::drops() const {
  const auto cpus = cpu_count();
  if (!cpus) return fail(cpus.error());
  std::vector<DropCount> drops;
  TableWalker walker("sl_drops", maps_.fd("sl_drops"), sizeof(drop_key), sizeof(counter) * *cpus);
  auto done = walker.all([&](const char* key, const char* values) {
    DropCount& drop = drops.emplace_back();
    std::memcpy(&drop.key, key, sizeof(drop.key));
    drop.count = sum_of(values, *cpus);
  });
  if (!done) return fail(done.error());
  return drops;
}

Result<EventLosses> DatapathReader::event_losses() const {
  const auto cpus = cpu_count();
  if (!cpus) return fail(cpus.error());
  EventLosses losses = {};
  std::vector<uint64_t> values(*cpus);
  for (uint32_t kind = 0; kind < losses.size(); kind++) {
    if (bpf_map_lookup_elem(maps_.fd("sl_event_loss"), &kind, values.data()) != 0) {
      return fail(from_errno("read map sl_event_loss"));
    }
    for (const uint64_t value : values) losses[kind] += value;
  }
  return losses;
}

Result<TableRows<ct_key, ct_entry>> DatapathReader::conntrack(size_t limit) const {
  return read_rows<ct_key, ct_entry>(maps_, "sl_ct", limit);
}

Result<TableRows<nat_key, nat_row>> DatapathReader::translations(size_t limit) const {
  return read_rows<nat_key, nat_row>(maps_, "sl_nat", limit);
}

Result<TableRows<identity_key, identity_row>> DatapathReader::identities(size_t limit) const {
  return read_rows<identity_key, identity_row>(maps_, "sl_identity", limit);
}

Result<TableRows<uint32_t, endpoint_row>> DatapathReader::endpoints() const {
  return read_rows<uint32_t, endpoint_row>(maps_, "sl_endpoint", SIZE_MAX);
}

Result<TableRows<uint32_t, device_row>> DatapathReader::devices() const {
  return read_rows<uint32_t, device_row>(maps_, "sl_device", SIZE_MAX);
}

Result<node_row> DatapathReader::node() const {
  node_row row = {};
  const uint32_t zero = 0;
  if (bpf_map_lookup_elem(maps_.fd("sl_node"), &zero, &row) != 0) {
    return fail(from_errno("read map sl_node"));
  }
  return row;
}

Result<std::vector<TableSize>> DatapathReader::table_sizes() const {
  const auto cpus = cpu_count();
  if (!cpus) return fail(cpus.error());
  std::vector<TableSize> sizes;
  for (const auto& [name, fd] : maps_.fds) {
    bpf_map_info info = {};
    uint32_t size = sizeof(info);
    if (bpf_map_get_info_by_fd(fd.get(), &info, &size) != 0) {
      return fail(from_errno("inspect map " + name));
    }
    if (!has_rows(info.type)) continue;
    const auto rows = count_rows(name, fd.get(), info, *cpus);
    if (!rows) return fail(rows.error());
    sizes.push_back({.name = name, .entries = *rows, .max_entries = info.max_entries});
  }
  return sizes;
}

int DatapathReader::events_fd() const {
  return maps_.fd("sl_events");
}

}  // namespace sluice
