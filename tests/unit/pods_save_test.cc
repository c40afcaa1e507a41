// SPDX-License-Identifier: Apache-2.0
// The state file that ADD waits for and DEL does not. Needs root.
#include "tests/unit/pods_netns_fixture.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

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
