// SPDX-License-Identifier: Apache-2.0
// Ages conntrack and translation rows: walks the tables a piece at a time and has the expired
// swept.
#include "agent/apply/conntrack_ager.h"

#include <bpf/bpf.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "agent/apply/maps.h"
#include "agent/apply/table.h"
#include "bpf/abi/limits.h"
#include "lib/skeleton/skeleton.h"
// The skeleton names the ABI's structs without declaring them.
#include "ct_sweep.skel.h"

namespace sluice {

namespace {

constexpr uint64_t kNsPerSecond = 1'000'000'000ULL;
// A translation is written a moment before its flow refers to it: younger ones are not judged.
constexpr uint64_t kYoungNs = 10 * kNsPerSecond;

uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kNsPerSecond + static_cast<uint64_t>(now.tv_nsec);
}

// The flow that a translation belongs to: the end with the lower (address, port) is `a`, in the
// programs' order, which compares the halves as the machine reads them.
ct_key flow_of(const nat_key& key, const nat_row& row) {
  bool pod_is_a = row.pod_port_be <= key.remote_port_be;
  if (row.pod.halves[0] != key.remote.halves[0]) {
    pod_is_a = row.pod.halves[0] < key.remote.halves[0];
  }
  if (row.pod.halves[1] != key.remote.halves[1]) {
    pod_is_a = row.pod.halves[1] < key.remote.halves[1];
  }
  ct_key flow = {};
  flow.addr_a = pod_is_a ? row.pod : key.remote;
  flow.addr_b = pod_is_a ? key.remote : row.pod;
  flow.port_a_be = pod_is_a ? row.pod_port_be : key.remote_port_be;
  flow.port_b_be = pod_is_a ? key.remote_port_be : row.pod_port_be;
  flow.proto = key.proto;
  return flow;
}

template <class T>
T copy_of(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

}  // namespace

uint32_t timeout_seconds(const ct_timeouts& timeouts, uint8_t proto, uint8_t state) {
  switch (proto) {
    case IPPROTO_TCP:
      if (state == CT_STATE_NEW) return timeouts.tcp_new_s;
      if (state == CT_STATE_ESTABLISHED) return timeouts.tcp_established_s;
      return state == CT_STATE_CLOSING ? timeouts.tcp_closing_s : timeouts.tcp_closed_s;
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
      return timeouts.udp_s;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return timeouts.icmp_s;
    default:
      return timeouts.other_s;
  }
}

AgeCounts& AgeCounts::operator+=(const AgeCounts& other) {
  ct_seen += other.ct_seen;
  ct_removed += other.ct_removed;
  nat_seen += other.nat_seen;
  nat_removed += other.nat_removed;
  end_of_pass = end_of_pass || other.end_of_pass;
  return *this;
}

struct ConntrackAger::State {
  Skeleton<ct_sweep> sweeper;
  ct_timeouts timeouts{};
  int ct_fd = -1;
  int nat_fd = -1;
  TableWalker ct;
  TableWalker nat;
  bool in_nat = false;  // where the pass is

  Result<AgeCounts> step_ct(size_t budget);
  Result<AgeCounts> step_nat(size_t budget);
  Result<size_t> sweep(const std::vector<ct_key>& keys);
  bool is_orphan(const nat_key& key, const nat_row& row) const;
};

// The program looks at each row again before it removes it: a flow that spoke meanwhile stays.
Result<size_t> ConntrackAger::State::sweep(const std::vector<ct_key>& keys) {
  size_t removed = 0;
  const int program = bpf_program__fd(sweeper->progs.ct_sweep);
  ct_sweep_args& arguments = sweeper->bss->sweep;
  for (size_t start = 0; start < keys.size(); start += CT_SWEEP_BATCH) {
    const size_t count = std::min<size_t>(CT_SWEEP_BATCH, keys.size() - start);
    std::copy_n(keys.begin() + static_cast<ptrdiff_t>(start), count, arguments.keys);
    arguments.count = static_cast<uint32_t>(count);
    bpf_test_run_opts run = {};
    run.sz = sizeof(run);
    if (bpf_prog_test_run_opts(program, &run) != 0) return fail(from_errno("run ct_sweep"));
    removed += arguments.removed;
  }
  return removed;
}

Result<AgeCounts> ConntrackAger::State::step_ct(size_t budget) {
  AgeCounts counts;
  std::vector<ct_key> expired;
  const uint64_t now = monotonic_ns();
  auto ended = ct.step(budget, [&](const char* key_bytes, const char* row_bytes) {
    counts.ct_seen++;
    const auto key = copy_of<ct_key>(key_bytes);
    const auto row = copy_of<ct_entry>(row_bytes);
    const uint64_t limit = timeout_seconds(timeouts, key.proto, row.state) * kNsPerSecond;
    if (now >= row.last_seen_ns + limit) expired.push_back(key);
  });
  if (!ended) return fail(ended.error());
  const auto removed = sweep(expired);
  if (!removed) return fail(removed.error());
  counts.ct_removed = *removed;
  in_nat = *ended;
  return counts;
}

// A flow that was opened anew may have another translation than the one it had before.
bool ConntrackAger::State::is_orphan(const nat_key& key, const nat_row& row) const {
  const ct_key flow = flow_of(key, row);
  ct_entry entry = {};
  const int code = bpf_map_lookup_elem(ct_fd, &flow, &entry);
  if (code == -ENOENT) return true;
  if (code != 0) return false;
  return entry.nat_port_be != key.node_port_be ||
         std::memcmp(&entry.nat_addr, &key.node, sizeof(key.node)) != 0;
}

Result<AgeCounts> ConntrackAger::State::step_nat(size_t budget) {
  AgeCounts counts;
  std::vector<nat_key> orphans;
  const uint64_t now = monotonic_ns();
  auto ended = nat.step(budget, [&](const char* key_bytes, const char* row_bytes) {
    counts.nat_seen++;
    const auto key = copy_of<nat_key>(key_bytes);
    const auto row = copy_of<nat_row>(row_bytes);
    if (now >= row.created_ns + kYoungNs && is_orphan(key, row)) orphans.push_back(key);
  });
  if (!ended) return fail(ended.error());
  for (const nat_key& key : orphans) {
    // Looked at again right before: the port may have been given to a new flow since the walk.
    nat_row row = {};
    if (bpf_map_lookup_elem(nat_fd, &key, &row) != 0) continue;
    if (now < row.created_ns + kYoungNs || !is_orphan(key, row)) continue;
    if (bpf_map_delete_elem(nat_fd, &key) == 0) counts.nat_removed++;
  }
  in_nat = !*ended;
  counts.end_of_pass = *ended;
  return counts;
}

ConntrackAger::ConntrackAger(std::unique_ptr<State> state) : state_(std::move(state)) {}
ConntrackAger::~ConntrackAger() = default;

Result<std::unique_ptr<ConntrackAger>> ConntrackAger::open(SharedMaps& maps,
                                                           const ct_timeouts& timeouts) {
  const LibbpfLog log;
  Skeleton<ct_sweep> sweeper(ct_sweep::open());
  if (sweeper == nullptr) return fail(from_errno("open eBPF object ct_sweep"));
  sweeper->rodata->timeouts = timeouts;
  if (auto shared = share_maps(sweeper->obj, maps); !shared) return fail(shared.error());
  if (const int code = ct_sweep::load(sweeper.get()); code != 0) {
    return fail(from_errno("load eBPF object ct_sweep [" + log.tail() + "]", -code));
  }
  if (auto kept = keep_maps(sweeper->obj, maps); !kept) return fail(kept.error());
  const int ct = maps.fd("sl_ct");
  const int nat = maps.fd("sl_nat");
  auto state = std::make_unique<State>(
      State{.sweeper = std::move(sweeper),
            .timeouts = timeouts,
            .ct_fd = ct,
            .nat_fd = nat,
            .ct = TableWalker("sl_ct", ct, sizeof(ct_key), sizeof(ct_entry)),
            .nat = TableWalker("sl_nat", nat, sizeof(nat_key), sizeof(nat_row))});
  return std::unique_ptr<ConntrackAger>(new ConntrackAger(std::move(state)));
}

Result<AgeCounts> ConntrackAger::step(size_t budget) {
  return state_->in_nat ? state_->step_nat(budget) : state_->step_ct(budget);
}

}  // namespace sluice
