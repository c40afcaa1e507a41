// SPDX-License-Identifier: Apache-2.0
// How often drops are told: once a second for a flow, a device and a reason, with the number that
// was passed over; others at once; never at the price of the packet count.
#include "tests/prog/fixture.h"

namespace sluice::test {
namespace {

// Value of sl_drop_limit, which is the programs' own.
struct LimitRow {
  uint64_t reported_ns;
  uint32_t suppressed;
  uint32_t pad;
};

class DropLimit : public BothFamilies {
 protected:
  Bytes spoofed(uint16_t port) {
    return frame(kFromA, Ip{.src = w.spoofed, .dst = w.native}, Udp{.sport = port, .dport = 53});
  }
  void drop(uint16_t port, int times = 1) {
    for (int i = 0; i < times; i++) EXPECT_EQ(from_a(spoofed(port)).verdict, kShot);
  }
  // As if the last report of every flow had been this much earlier.
  void wait(uint64_t ns) {
    for (const uint64_t key : rig.keys<uint64_t>("sl_drop_limit")) {
      LimitRow row = rig.get<LimitRow>("sl_drop_limit", key).value();
      row.reported_ns -= ns;
      rig.put("sl_drop_limit", key, row);
    }
  }
};
IN_BOTH_FAMILIES(DropLimit);

TEST_P(DropLimit, ASecondDropOfAFlowWithinTheIntervalIsCountedAndNotTold) {
  drop(1, 3);

  EXPECT_EQ(rig.events().size(), 1U);
  EXPECT_EQ(rig.drops(devices.pod_a, HOOK_POD_EGRESS, DROP_SPOOFED_SOURCE).packets, 3U);
}

TEST_P(DropLimit, AfterTheIntervalOneEventSaysHowManyWerePassedOver) {
  drop(1, 6);
  rig.events();
  wait(DROP_REPORT_INTERVAL_NS);

  drop(1, 2);

  const std::vector<flow_event> told = rig.events();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].suppressed, 5U);
  wait(DROP_REPORT_INTERVAL_NS);
  drop(1);
  const std::vector<flow_event> later = rig.events();
  ASSERT_EQ(later.size(), 1U);
  EXPECT_EQ(later[0].suppressed, 1U) << "counted anew since the last event";
}

TEST_P(DropLimit, AnotherFlowAnotherReasonAndAnotherDeviceAreToldAtOnce) {
  drop(1);
  drop(2);
  run(Program::kPodEgress, spoofed(1), devices.pod_b);
  run(Program::kPodEgress, spoofed(1), devices.stranger);

  const std::vector<flow_event> told = rig.events();

  ASSERT_EQ(told.size(), 4U);
  EXPECT_EQ(told[1].sport_be, __builtin_bswap16(2));
  EXPECT_EQ(told[2].ifindex, devices.pod_b);
  EXPECT_EQ(told[3].reason, DROP_NO_ENDPOINT);
}

TEST_P(DropLimit, TheEventNamesThePacketThatWasDropped) {
  const Bytes packet = spoofed(7);
  from_a(packet);

  const flow_event event = rig.events().at(0);
  EXPECT_EQ(event.version, EVENT_VERSION);
  EXPECT_EQ(event.len, sizeof(flow_event));
  EXPECT_TRUE(
      std::equal(std::begin(event.src.bytes), std::end(event.src.bytes), w.spoofed.bytes.begin()));
  EXPECT_TRUE(
      std::equal(std::begin(event.dst.bytes), std::end(event.dst.bytes), w.native.bytes.begin()));
  EXPECT_EQ(event.sport_be, __builtin_bswap16(7));
  EXPECT_EQ(event.proto, kProtoUdp);
  EXPECT_EQ(event.packet_len, packet.size() - kEthernetBytes);
}

}  // namespace
}  // namespace sluice::test
