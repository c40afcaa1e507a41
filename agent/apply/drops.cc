// SPDX-License-Identifier: Apache-2.0
#include "agent/apply/drops.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "agent/apply/table.h"
#include "bpf/abi/verdict.h"

namespace sluice {

namespace {

Result<std::vector<drop_key>> keys_of(int fd, size_t cpus) {
  std::vector<drop_key> keys;
  TableWalker walker("sl_drops", fd, sizeof(drop_key), sizeof(counter) * cpus);
  auto done = walker.all([&keys](const char* key, const char*) {
    std::memcpy(&keys.emplace_back(), key, sizeof(drop_key));
  });
  if (!done) return fail(done.error());
  return keys;
}

Status erase(int fd, const drop_key& key) {
  if (bpf_map_delete_elem(fd, &key) == 0 || errno == ENOENT) return {};
  return fail(from_errno("delete from map sl_drops"));
}

// Programs never count for device 0: its rows are this function's alone.
Status fold(int fd, const drop_key& key, size_t cpus) {
  std::vector<counter> values(cpus);
  if (bpf_map_lookup_elem(fd, &key, values.data()) != 0)
    return errno == ENOENT ? Status() : Status(fail(from_errno("read map sl_drops")));
  drop_key common = key;
  common.ifindex = 0;
  std::vector<counter> sums(cpus);
  if (bpf_map_lookup_elem(fd, &common, sums.data()) != 0 && errno != ENOENT)
    return fail(from_errno("read map sl_drops"));
  for (size_t cpu = 0; cpu < cpus; ++cpu) {
    sums[cpu].packets += values[cpu].packets;
    sums[cpu].bytes += values[cpu].bytes;
  }
  if (bpf_map_update_elem(fd, &common, sums.data(), BPF_ANY) == 0) return erase(fd, key);
  if (errno != E2BIG) return fail(from_errno("update map sl_drops row of device 0"));
  // A full table has room for the sum once the row itself is gone.
  if (auto gone = erase(fd, key); !gone) return gone;
  if (bpf_map_update_elem(fd, &common, sums.data(), BPF_ANY) == 0) return {};
  return fail(from_errno("update map sl_drops row of device 0"));
}

}  // namespace

Result<size_t> fold_gone_drops(Netlink& netlink, int drops_fd) {
  const std::string doing = "fold the drop counts of gone devices";
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) return fail(from_errno("count the possible CPUs", -cpus));
  // Rows before devices: what is in the table and then not on the node is gone, not new.
  const auto keys = keys_of(drops_fd, static_cast<size_t>(cpus));
  if (!keys) return fail(within(doing, keys.error()));
  const auto links = netlink.links();
  if (!links) return fail(within(doing, links.error()));
  std::set<uint32_t> devices{0};
  for (const LinkInfo& link : *links) devices.insert(link.ifindex);
  size_t removed = 0;
  for (const drop_key& key : *keys) {
    if (devices.contains(key.ifindex)) continue;
    if (auto done = fold(drops_fd, key, static_cast<size_t>(cpus)); !done)
      return fail(within(doing, done.error()));
    ++removed;
  }
  return removed;
}

}  // namespace sluice
