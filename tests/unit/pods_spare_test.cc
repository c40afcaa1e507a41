// SPDX-License-Identifier: Apache-2.0
// Devices made ahead of their pods, and the state file that ADD waits for. Needs root.
#include "tests/unit/pods_netns_fixture.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class SparePods : public PodsNetns {
 protected:
  SparePods() { spare_links_ = 2; }
  // Turns the loop until there are so many, in case timers have to run.
  void wait_for_spares(size_t count) {
    for (int turn = 0; turn < 1000 && service_->spares().size() != count; ++turn) {
      loop_.restart();
      loop_.run_for(std::chrono::milliseconds(1));
    }
    ASSERT_EQ(service_->spares().size(), count);
  }
  void SetUp() override {
    PodsNetns::SetUp();
    if (!IsSkipped()) wait_for_spares(2);
  }
};

TEST_F(SparePods, AnAddTakesTheOldestAndAnotherIsMade) {
  const auto before = service_->spares();
  PodNetns pod;

  const Answer answer = run("ADD", "c1", pod.path());

  ASSERT_EQ(answer.exit_code, 0) << answer.output;
  EXPECT_EQ(service_->counters().spares_used, 1U);
  ASSERT_EQ(service_->endpoints().size(), 1U);
  EXPECT_EQ(service_->endpoints()[0].ifindex, before[0]);
  auto host = Netlink::open();
  const auto link = host->link(before[0]);
  EXPECT_EQ(link->name, host_device_name({"net", "c1", "eth0"}));
  EXPECT_TRUE(parse_endpoint_alias(link->alias));
  EXPECT_EQ(run("CHECK", "c1", pod.path()).exit_code, 0) << "nothing tells it from one made anew";
  wait_for_spares(2);
  EXPECT_EQ(service_->spares()[0], before[1]);
}

TEST_F(SparePods, OneThatIsGoneIsNoReasonToFail) {
  auto host = Netlink::open();
  for (const uint32_t ifindex : service_->spares()) ASSERT_TRUE(host->delete_link(ifindex));
  PodNetns pod;

  const Answer answer = run("ADD", "c1", pod.path());

  ASSERT_EQ(answer.exit_code, 0) << answer.output;
  EXPECT_EQ(service_->counters().spares_used, 0U);
  EXPECT_EQ(run("CHECK", "c1", pod.path()).exit_code, 0);
  service_->release_leaks();
  wait_for_spares(2);
  for (const uint32_t ifindex : service_->spares()) EXPECT_TRUE(host->link(ifindex));
}

TEST_F(SparePods, ARestartTakesThemOverAndDeletesHalves) {
  const auto before = service_->spares();
  stop_agent();
  auto host = Netlink::open();
  PodNetns stranger;
  const Fd netns(open(stranger.path().c_str(), O_RDONLY | O_CLOEXEC));
  const uint32_t peer = host->link(before[0])->peer_ifindex;
  ASSERT_TRUE(host->change_link(peer, {.name = "eth0", .netns_fd = netns.get()}));

  start_agent();

  EXPECT_THAT(service_->spares(), ElementsAre(before[1]));
  EXPECT_FALSE(host->link(before[0])) << "killed half-way into a pod";
  EXPECT_EQ(report_.removed + report_.adopted, 0U);
  wait_for_spares(2);
}

TEST_F(SparePods, AServiceThatWantsNoneRemovesThem) {
  stop_agent();
  spare_links_ = 0;

  start_agent();

  EXPECT_EQ(devices(), 0U);
}

TEST_F(PodsNetns, WhatCannotBeRememberedIsNotHandedOut) {
  const fs::path state = folder_ / "state";
  fs::rename(state, folder_ / "away");
  PodNetns pod;

  const Answer answer = run("ADD", "c1", pod.path());

  EXPECT_EQ(answer.output["code"], 5) << answer.output;
  EXPECT_THAT(answer.output["details"], HasSubstr("pods.json"));
  EXPECT_EQ(devices(), 0U);
  EXPECT_TRUE(service_->endpoints().empty());
  EXPECT_GE(service_->counters().save_failures, 1U);
  EXPECT_THAT(service_->conditions(), ElementsAre(HasSubstr("pods.json")));
  fs::rename(folder_ / "away", state);
  EXPECT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);
  EXPECT_TRUE(service_->conditions().empty());
}

TEST_F(PodsNetns, AnAnsweredAddIsInTheFileAtOnce) {
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);

  const auto state = decode_pod_state(*read_file(folder_ / "state" / "pods.json"));

  ASSERT_TRUE(state) << state.error().message();
  ASSERT_EQ(state->endpoints.size(), 1U);
  EXPECT_EQ(state->endpoints[0].netns, pod.path());
}

TEST_F(PodsNetns, ADelIsInTheFileWhenTheServiceHasEnded) {
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);
  ASSERT_EQ(run("DEL", "c1", pod.path()).exit_code, 0);

  stop_agent();

  const auto state = decode_pod_state(*read_file(folder_ / "state" / "pods.json"));
  ASSERT_TRUE(state) << state.error().message();
  EXPECT_TRUE(state->endpoints.empty());
  EXPECT_EQ(state->freed.size(), 2U);
}

}  // namespace
}  // namespace sluice
