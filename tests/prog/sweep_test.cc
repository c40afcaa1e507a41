// SPDX-License-Identifier: Apache-2.0
// ct_sweep: how long a silent flow is remembered, by protocol and state, and what is removed with
// it.
#include <ctime>

#include "tests/prog/fixture.h"

namespace sluice::test {
namespace {

constexpr uint64_t kSecond = 1000000000;
constexpr uint64_t kMargin = kSecond / 2;  // for the clock to move on while the test runs

uint64_t now_ns() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kSecond + static_cast<uint64_t>(now.tv_nsec);
}

struct Lifetime {
  const char* name;
  uint8_t proto;
  uint8_t state;
  uint64_t seconds;
};

// What S30 lists, beside what follows for those that it does not name.
const Lifetime kLifetimes[] = {{"TcpSynSent", kProtoTcp, CT_STATE_NEW, 20},
                               {"TcpEstablished", kProtoTcp, CT_STATE_ESTABLISHED, 3600},
                               {"TcpClosing", kProtoTcp, CT_STATE_CLOSING, 120},
                               {"TcpClosed", kProtoTcp, CT_STATE_CLOSED, 40},
                               {"UdpOneWay", kProtoUdp, CT_STATE_NEW, 60},
                               {"UdpBothWays", kProtoUdp, CT_STATE_ESTABLISHED, 60},
                               {"UdpLite", kProtoUdpLite, CT_STATE_ESTABLISHED, 60},
                               {"Icmp", kProtoIcmp, CT_STATE_ESTABLISHED, 5},
                               {"Icmp6", kProtoIcmp6, CT_STATE_ESTABLISHED, 5},
                               {"Sctp", kProtoSctp, CT_STATE_ESTABLISHED, 600},
                               {"Gre", kProtoGre, CT_STATE_NEW, 600}};

void PrintTo(const Lifetime& lifetime, std::ostream* out) {
  *out << lifetime.name;
}

class Sweep : public ProgTest {
 protected:
  // A flow of two pods that was silent this long; returns its key.
  ct_key silent(uint8_t proto, uint8_t state, uint64_t ns, uint16_t port = 1) {
    const ct_key key = flow_key(Ip{.src = w.pod_a, .dst = w.pod_b}, proto, port, 2);
    ct_entry entry = {};
    entry.state = state;
    entry.last_seen_ns = now_ns() - ns;
    rig.put("sl_ct", key, entry);
    return key;
  }
  bool known(const ct_key& key) { return rig.get<ct_entry>("sl_ct", key).has_value(); }

  const World& w = world(Family::kIpv4);
};

class SweepLifetimes : public Sweep, public testing::WithParamInterface<Lifetime> {};
std::string name_of_lifetime(const testing::TestParamInfo<Lifetime>& lifetime) {
  return lifetime.param.name;
}
INSTANTIATE_TEST_SUITE_P(, SweepLifetimes, testing::ValuesIn(kLifetimes), name_of_lifetime);

TEST_P(SweepLifetimes, S30_AFlowIsForgottenAfterItsTimeAndNotBefore) {
  const auto [name, proto, state, seconds] = GetParam();
  // The machine's clock starts at its boot: a flow cannot have been silent for longer.
  if (now_ns() < (seconds + 1) * kSecond) GTEST_SKIP() << "this machine is up too short";
  const ct_key young = silent(proto, state, seconds * kSecond - kMargin, 1);
  const ct_key old = silent(proto, state, seconds * kSecond, 3);

  EXPECT_EQ(rig.sweep({young, old}), 1U);

  EXPECT_TRUE(known(young));
  EXPECT_FALSE(known(old));
}

TEST_F(Sweep, S30_AFlowThatSpokeBetweenTheLookAndTheSweepStays) {
  const Bytes packet =
      frame(kFromA, Ip{.src = w.pod_a, .dst = w.pod_b}, Udp{.sport = 1, .dport = 2});
  from_a(packet);
  const ct_key key = flow_key(Ip{.src = w.pod_a, .dst = w.pod_b}, kProtoUdp, 1, 2);
  ct_entry entry = rig.get<ct_entry>("sl_ct", key).value();
  entry.last_seen_ns = now_ns() - 61 * kSecond;
  rig.put("sl_ct", key, entry);

  from_a(packet);

  EXPECT_EQ(rig.sweep({key}), 0U);
  EXPECT_TRUE(known(key));
}

TEST_F(Sweep, S30_OnlyWhatIsNamedIsLookedAtAndAKeyOfNothingIsPassedOver) {
  const ct_key named = silent(kProtoUdp, CT_STATE_NEW, 61 * kSecond, 1);
  const ct_key unnamed = silent(kProtoUdp, CT_STATE_NEW, 61 * kSecond, 3);
  const ct_key nothing = flow_key(Ip{.src = w.pod_a, .dst = w.pod_b}, kProtoUdp, 9, 9);

  EXPECT_EQ(rig.sweep({nothing, named}), 1U);
  EXPECT_EQ(rig.sweep({}), 0U);

  EXPECT_FALSE(known(named));
  EXPECT_TRUE(known(unnamed));
}

TEST_F(Sweep, S30_AFullBatchIsSweptAtOnce) {
  std::vector<ct_key> keys;
  for (uint16_t port = 1; port <= CT_SWEEP_BATCH; port++)
    keys.push_back(silent(kProtoUdp, CT_STATE_NEW, 61 * kSecond, static_cast<uint16_t>(port + 9)));

  EXPECT_EQ(rig.sweep(keys), uint32_t{CT_SWEEP_BATCH});
  EXPECT_TRUE(rig.keys<ct_key>("sl_ct").empty());
}

class SweepTranslated : public BothFamilies {};
IN_BOTH_FAMILIES(SweepTranslated);

TEST_P(SweepTranslated, S30_ATranslationGoesWithItsFlowAndTheNextPacketChoosesAnother) {
  const Bytes packet =
      frame(kFromA, Ip{.src = w.pod_a, .dst = w.outside}, Tcp{.sport = 1, .dport = 443});
  out_from_a(packet);
  const ct_key key = flow_key(Ip{.src = w.pod_a, .dst = w.outside}, kProtoTcp, 1, 443);
  ct_entry entry = rig.get<ct_entry>("sl_ct", key).value();
  entry.last_seen_ns = now_ns() - 21 * kSecond;
  rig.put("sl_ct", key, entry);

  EXPECT_EQ(rig.sweep({key}), 1U);

  EXPECT_TRUE(rig.keys<nat_key>("sl_nat").empty());
  EXPECT_EQ(out_from_a(packet).verdict, kNext);
  EXPECT_EQ(rig.keys<nat_key>("sl_nat").size(), 1U);
}

}  // namespace
}  // namespace sluice::test
