// SPDX-License-Identifier: Apache-2.0
// agent/apply on live tables: ageing of flows and translations, sums over CPUs.
#include <algorithm>
#include <ctime>

#include "tests/unit/apply_fixture.h"

namespace sluice {
namespace {

uint64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000ULL + static_cast<uint64_t>(now.tv_nsec);
}

ct_key flow(uint16_t port) {
  ct_key key = {};
  key.addr_a = to_abi(*parse_address("10.1.0.2"));
  key.addr_b = to_abi(*parse_address("198.51.100.7"));
  key.port_a_be = port;
  key.port_b_be = 53;
  key.proto = 17;
  return key;
}

TEST_F(ApplyTest, AgeingTakesTheSilentAndLeavesTheRest) {
  auto datapath = open();
  const Fd ct = pinned_map("sl_ct");
  for (uint16_t port = 0; port < 2000; port++) {
    ct_entry entry = {};
    entry.last_seen_ns = port % 2 == 0 ? now_ns() : 1;
    const ct_key key = flow(port);
    ASSERT_EQ(bpf_map_update_elem(ct.get(), &key, &entry, 0), 0);
  }

  AgeCounts counts;
  int steps = 0;
  while (!counts.end_of_pass) {
    const auto step = datapath->ager().step(256);
    ASSERT_TRUE(step) << step.error().message();
    counts += *step;
    ASSERT_LT(++steps, 100);
  }

  EXPECT_GT(steps, 5);
  EXPECT_EQ(counts.ct_seen, 2000U);
  EXPECT_EQ(counts.ct_removed, 1000U);
  EXPECT_EQ(datapath->reader().conntrack()->size(), 1000U);
  EXPECT_EQ(datapath->reader().conntrack(10)->size(), 10U);
}

nat_key answer_to(uint16_t node_port) {
  nat_key key = {};
  key.remote = to_abi(*parse_address("198.51.100.7"));
  key.node = to_abi(*parse_address("192.0.2.1"));
  key.remote_port_be = 53;
  key.node_port_be = node_port;
  key.proto = 17;
  return key;
}

TEST_F(ApplyTest, TranslationsDieWithTheirFlowsAndOrphansToo) {
  auto datapath = open();
  const Fd ct = pinned_map("sl_ct");
  const Fd nat = pinned_map("sl_nat");
  for (uint16_t port = 1; port <= 4; port++) {
    nat_row row = {};
    row.pod = to_abi(*parse_address("10.1.0.2"));
    row.pod_port_be = port;
    row.created_ns = port == 4 ? now_ns() : 1;
    const nat_key key = answer_to(port);
    ASSERT_EQ(bpf_map_update_elem(nat.get(), &key, &row, 0), 0);
    if (port > 2) continue;  // 3: an old orphan; 4: one whose flow may be on its way
    ct_entry entry = {};
    entry.last_seen_ns = port == 1 ? 1 : now_ns();
    entry.flags = CT_OPENER_IS_A;
    entry.nat_addr = key.node;
    entry.nat_port_be = port;
    entry.nat_state = CT_NAT_READY;
    const ct_key tuple = flow(port);
    ASSERT_EQ(bpf_map_update_elem(ct.get(), &tuple, &entry, 0), 0);
  }

  AgeCounts counts;
  while (!counts.end_of_pass) counts += *datapath->ager().step();

  EXPECT_EQ(counts.ct_removed, 1U);
  EXPECT_EQ(counts.nat_removed, 1U);
  std::vector<uint16_t> left;
  const auto rows = datapath->reader().translations();
  ASSERT_TRUE(rows);
  for (const auto& [key, row] : *rows) left.push_back(key.node_port_be);
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<uint16_t>{2, 4}));
}

class DropRows : public ApplyTest {
 protected:
  // packets: on each CPU.
  void write(uint32_t ifindex, uint8_t reason, uint64_t packets) {
    const drop_key key = {.ifindex = ifindex, .hook = 0, .reason = reason, .pad = {}};
    const std::vector<counter> values(static_cast<size_t>(libbpf_num_possible_cpus()),
                                      counter{.packets = packets, .bytes = 10 * packets});
    ASSERT_EQ(bpf_map_update_elem(pinned_map("sl_drops").get(), &key, values.data(), 0), 0);
  }
  static uint64_t packets(const std::vector<DropCount>& drops) {
    uint64_t sum = 0;
    for (const DropCount& drop : drops) sum += drop.count.packets;
    return sum;
  }
};

TEST_F(DropRows, OfGoneDevicesAreFoldedAndTheTotalStays) {
  auto datapath = open();
  write(pod_, DROP_SPOOFED_SOURCE, 3);
  for (uint32_t gone = 5000; gone < 5100; ++gone) {
    write(gone, DROP_SPOOFED_SOURCE, 1);
    write(gone, DROP_NO_ROUTE, 2);
  }
  const uint64_t before = packets(*datapath->reader().drops());

  const auto folded = datapath->fold_drops_of_gone_devices();

  ASSERT_TRUE(folded) << folded.error().message();
  EXPECT_EQ(*folded, 200U);
  const auto after = *datapath->reader().drops();
  EXPECT_EQ(after.size(), 3U);
  EXPECT_EQ(packets(after), before);
  write(6000, DROP_NO_ROUTE, 5);  // the next one joins the same row
  EXPECT_EQ(*datapath->fold_drops_of_gone_devices(), 1U);
  EXPECT_EQ(datapath->reader().drops()->size(), 3U);
  EXPECT_EQ(*datapath->fold_drops_of_gone_devices(), 0U);
}

TEST_F(DropRows, AFullTableIsEmptiedToo) {
  options_.drops_max_entries = 8;
  auto datapath = open();
  for (uint32_t gone = 5000; gone < 5008; ++gone) write(gone, DROP_NO_ROUTE, 1);
  const uint64_t before = packets(*datapath->reader().drops());

  ASSERT_EQ(*datapath->fold_drops_of_gone_devices(), 8U);

  EXPECT_EQ(datapath->reader().drops()->size(), 1U);
  EXPECT_EQ(packets(*datapath->reader().drops()), before);
}

TEST_F(ApplyTest, CountersAreSummedOverCpus) {
  auto datapath = open();
  Rows wanted = rows();
  apply(*datapath, wanted);
  const int cpus = libbpf_num_possible_cpus();
  std::vector<counter> values(static_cast<size_t>(cpus), counter{.packets = 2, .bytes = 100});
  const drop_key key = {.ifindex = pod_, .hook = 0, .reason = DROP_SPOOFED_SOURCE, .pad = {}};
  ASSERT_EQ(bpf_map_update_elem(pinned_map("sl_drops").get(), &key, values.data(), 0), 0);

  const auto drops = datapath->reader().drops();

  const auto found = std::find_if(drops->begin(), drops->end(), [](const DropCount& drop) {
    return drop.key.reason == DROP_SPOOFED_SOURCE;
  });
  ASSERT_NE(found, drops->end());
  EXPECT_EQ(found->count.packets, 2U * static_cast<unsigned>(cpus));
  EXPECT_TRUE(datapath->reader().verdicts());
  EXPECT_TRUE(datapath->reader().event_losses());
}

}  // namespace
}  // namespace sluice
