// SPDX-License-Identifier: Apache-2.0
// What every prog test starts from and ends with: full tables before; every packet counted once and
// every rewritten packet with right checksums after.
#pragma once

#include <gtest/gtest.h>

#include "tests/packets/checksum.h"
#include "tests/packets/icmp.h"
#include "tests/packets/read.h"
#include "tests/prog/world.h"

namespace sluice::test {

class ProgTest : public testing::Test {
 protected:
  // Shares one rig with all tests of the process, emptied; or the test brings its own.
  ProgTest();
  explicit ProgTest(Rig& own);
  // seen = forwarded + redirected + dropped, at every hook.
  void TearDown() override;

  // The run must succeed; whatever leaves must have right checksums.
  Outcome run(Program program, const Bytes& frame, uint32_t ifindex, uint32_t mark = 0);
  Outcome from_a(const Bytes& frame) { return run(Program::kPodEgress, frame, devices.pod_a); }
  Outcome from_b(const Bytes& frame) { return run(Program::kPodEgress, frame, devices.pod_b); }
  Outcome from_wire(const Bytes& frame) {
    return run(Program::kUplinkIngress, frame, devices.uplink);
  }
  Outcome to_a(const Bytes& frame) { return run(Program::kPodIngress, frame, devices.pod_a); }
  // pod_egress at pod A, then uplink_egress with the packet and the mark that came of it.
  Outcome out_from_a(const Bytes& frame);

  void expect_drop(const Outcome& outcome, uint32_t ifindex, hook at, drop_reason reason);
  std::optional<ct_entry> flow(const Ip& ip, uint8_t proto, uint16_t sport, uint16_t dport) {
    return rig.get<ct_entry>("sl_ct", flow_key(ip, proto, sport, dport));
  }
  void isolate(uint32_t ifindex, uint32_t flags);
  void bump_policy_revision();

  const Devices& devices;
  Rig& rig;
};

// The same test for both families.
class BothFamilies : public ProgTest, public testing::WithParamInterface<Family> {
 protected:
  const World& w = world(GetParam());
  bool is_v6 = w.is_v6();
};

inline std::string name_of(const testing::TestParamInfo<Family>& info) {
  return family_name(info.param);
}

}  // namespace sluice::test

#define IN_BOTH_FAMILIES(suite)                                                           \
  INSTANTIATE_TEST_SUITE_P(                                                               \
      , suite, testing::Values(sluice::test::Family::kIpv4, sluice::test::Family::kIpv6), \
      sluice::test::name_of)
