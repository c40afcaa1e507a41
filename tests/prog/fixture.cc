// SPDX-License-Identifier: Apache-2.0
// Set-up and the checks that every prog test ends with.
#include "tests/prog/fixture.h"

#include <cstring>

namespace sluice::test {

namespace {

Rig& shared_rig() {
  network();
  static Rig rig;
  rig.clear();
  return rig;
}

}  // namespace

ProgTest::ProgTest() : ProgTest(shared_rig()) {}

ProgTest::ProgTest(Rig& own) : devices(network().devices), rig(own) {
  fill(rig);
}

void ProgTest::TearDown(){
#define X(name, number, label)                                          \
  EXPECT_EQ(rig.verdicts(HOOK_##name, VERDICT_SEEN).packets,            \
            rig.verdicts(HOOK_##name, VERDICT_FORWARDED).packets +      \
                rig.verdicts(HOOK_##name, VERDICT_REDIRECTED).packets + \
                rig.verdicts(HOOK_##name, VERDICT_DROPPED).packets)     \
      << "at " << (label);
    HOOKS(X)
#undef X
}

Outcome ProgTest::run(Program program, const Bytes& frame, uint32_t ifindex, uint32_t mark) {
  Outcome outcome = rig.run(program, frame, ifindex, mark);
  EXPECT_EQ(outcome.error, 0) << std::strerror(outcome.error);
  if (outcome.error == 0 && outcome.verdict != kShot && outcome.out != frame) {
    EXPECT_EQ(checksum_problems(outcome.out), "");
  }
  return outcome;
}

Outcome ProgTest::out_from_a(const Bytes& frame) {
  const Outcome first = from_a(frame);
  if (first.error != 0 || first.verdict == kShot) return first;
  return run(Program::kUplinkEgress, first.out, devices.uplink, first.mark);
}

void ProgTest::expect_drop(const Outcome& outcome, uint32_t ifindex, hook at, drop_reason reason) {
  EXPECT_EQ(outcome.verdict, kShot);
  EXPECT_EQ(rig.drops(ifindex, at, reason).packets, 1U) << "reason " << reason;
}

void ProgTest::isolate(uint32_t ifindex, uint32_t flags) {
  endpoint_row row = rig.get<endpoint_row>("sl_endpoint", ifindex).value();
  row.flags = flags;
  rig.put("sl_endpoint", ifindex, row);
}

void ProgTest::bump_policy_revision() {
  node_row row = rig.get<node_row>("sl_node", uint32_t{0}).value();
  row.policy_revision++;
  rig.put("sl_node", uint32_t{0}, row);
}

}  // namespace sluice::test
