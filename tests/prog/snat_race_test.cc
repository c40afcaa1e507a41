// SPDX-License-Identifier: Apache-2.0
// Several CPUs translate one flow's first packets at the same time: one translation comes of it.
#include <arpa/inet.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <thread>

#include "tests/prog/fixture.h"

namespace sluice::test {
namespace {

constexpr size_t kCpus = 2;
constexpr uint16_t kRounds = 1000;

void pin_to(size_t cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  (void)sched_setaffinity(0, sizeof(cpus), &cpus);  // where there is one CPU they take turns
}

class SnatRaces : public BothFamilies {
 protected:
  // Opens the flow of a source port; returns its packet as it comes to the uplink.
  Bytes opened(uint16_t sport) {
    return from_a(frame(kFromA, Ip{.src = w.pod_a, .dst = w.outside}, Udp{sport, 53})).out;
  }
  Outcome out(const Bytes& packet) {
    return rig.run(Program::kUplinkEgress, packet, devices.uplink, MARK_TRANSLATE);
  }
  // As another CPU leaves the flow of port 7 between its choice and writing it down.
  void choose(uint16_t port) {
    const ct_key key = flow_key(Ip{.src = w.pod_a, .dst = w.outside}, kProtoUdp, 7, 53);
    ct_entry entry = rig.get<ct_entry>("sl_ct", key).value();
    entry.nat_state = CT_NAT_CHOSEN | htons(port);
    rig.put("sl_ct", key, entry);
  }
  void widen_range() {
    node_row row = node_settings();
    row.snat_port_min = 10000;
    row.snat_port_max = 60000;
    rig.put("sl_node", uint32_t{0}, row);
  }
};
IN_BOTH_FAMILIES(SnatRaces);

TEST_P(SnatRaces, S15_FirstPacketsOnTwoCpusGetOneTranslationAndNoRowIsLeftOver) {
  widen_range();
  std::vector<Bytes> packets;
  for (uint16_t round = 0; round < kRounds; round++)
    packets.push_back(opened(static_cast<uint16_t>(round + 1)));
  std::array<std::vector<uint16_t>, kCpus> ports;
  std::atomic<uint32_t> ready = 0;
  const auto run_all = [&](size_t cpu) {
    pin_to(cpu);
    for (uint32_t round = 0; round < kRounds; round++) {
      ready++;
      while (ready < (round + 1) * kCpus) std::this_thread::yield();
      const Outcome outcome = out(packets[round]);
      ports[cpu].push_back(outcome.verdict == kNext ? read_frame(outcome.out).sport : 0);
    }
  };

  std::thread other(run_all, 1);
  std::thread one(run_all, 0);
  one.join();
  other.join();

  EXPECT_EQ(ports[0], ports[1]);
  EXPECT_EQ(rig.keys<nat_key>("sl_nat").size(), size_t{kRounds});
  EXPECT_EQ(rig.verdicts(HOOK_UPLINK_EGRESS, VERDICT_DROPPED).packets, 0U);
}

TEST_P(SnatRaces, S15_WhoComesSecondUsesTheFirstOnesChoiceBeforeItIsWritten) {
  const Bytes packet = opened(7);
  choose(kSnatMin);
  nat_key answers = {};
  answers.remote = to_abi(w.outside);
  answers.node = to_abi(w.node);
  answers.remote_port_be = htons(53);
  answers.node_port_be = htons(kSnatMin);
  answers.proto = kProtoUdp;
  nat_row pod = {};
  pod.pod = to_abi(w.pod_a);
  pod.pod_port_be = htons(7);
  rig.put("sl_nat", answers, pod);

  const Outcome outcome = out(packet);

  EXPECT_EQ(outcome.verdict, kNext);
  EXPECT_EQ(read_frame(outcome.out).sport, kSnatMin);
  EXPECT_EQ(rig.keys<nat_key>("sl_nat").size(), 1U) << "the port that was claimed is given back";
}

TEST_P(SnatRaces, S15_AChoiceAtAnotherDeviceIsNotGuessed) {
  const Bytes packet = opened(7);
  choose(kSnatMin);

  expect_drop(out(packet), devices.uplink, HOOK_UPLINK_EGRESS, DROP_SNAT_UNDECIDED);
  EXPECT_TRUE(rig.keys<nat_key>("sl_nat").empty()) << "the port that was claimed is given back";
}

}  // namespace
}  // namespace sluice::test
