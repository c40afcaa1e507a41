// SPDX-License-Identifier: Apache-2.0
// The state file that ADD waits for and DEL does not. Needs root.
#include <sys/mount.h>

#include "tests/unit/pods_netns_fixture.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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

// A file system of a few pages with nothing free in it.
class FullFolder {
 public:
  explicit FullFolder(fs::path path) : path_(std::move(path)) {
    EXPECT_EQ(mount("none", path_.c_str(), "tmpfs", 0, "size=16k"), 0);
    std::ofstream(path_ / "fill") << std::string(65536, 'x');
  }
  ~FullFolder() { umount2(path_.c_str(), MNT_DETACH); }
  void make_room() { fs::remove(path_ / "fill"); }

 private:
  fs::path path_;
};

TEST_F(PodsNetns, AStateThatCannotBeSavedAtTheStartStopsNoAgent) {
  PodNetns pod;
  PodNetns late;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);
  stop_agent();
  FullFolder full(folder_ / "state");

  start_agent();

  EXPECT_EQ(report_.adopted, 1U);
  EXPECT_THAT(service_->conditions(), ElementsAre(HasSubstr("No space left on device")));
  EXPECT_EQ(run("CHECK", "c1", pod.path()).exit_code, 0);
  EXPECT_EQ(run("ADD", "c2", late.path()).output["code"], 5) << "it would be forgotten";
  EXPECT_EQ(run("DEL", "c1", pod.path()).exit_code, 0);
  full.make_room();
  service_->replay_queue();
  turn_for(std::chrono::milliseconds(500));
  EXPECT_THAT(service_->conditions(), IsEmpty());
  EXPECT_EQ(run("ADD", "c2", late.path()).exit_code, 0);
  stop_agent();
}

TEST_F(PodsNetns, ADelThatTheQueueCannotTakeWaitsBesideTheSocket) {
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);
  stop_agent();
  std::ofstream(folder_ / "queue") << "no folder";

  ASSERT_EQ(run("DEL", "c1", pod.path()).exit_code, 0);

  start_agent();
  EXPECT_TRUE(service_->endpoints().empty());
  EXPECT_EQ(service_->counters().queue_replayed, 1U);
  EXPECT_TRUE(fs::is_empty(folder_ / "cni-queue"));
  EXPECT_THAT(service_->conditions(), ElementsAre(HasSubstr((folder_ / "queue").string())));
}

}  // namespace
}  // namespace sluice
