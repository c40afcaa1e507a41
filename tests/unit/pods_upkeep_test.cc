// SPDX-License-Identifier: Apache-2.0
// What happens to pods without a request of their own. Needs root.
#include "tests/unit/pods_netns_fixture.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kArgs = "K8S_POD_NAMESPACE=demo;K8S_POD_NAME=web;K8S_POD_UID=";

TEST_F(PodsNetns, LeakWhosePathNamesAnotherNamespaceIsReleased) {
  PodNetns gone;
  PodNetns next;
  const fs::path path = folder_ / "netns";  // what /proc/PID/ns/net is to a PID that comes back
  fs::create_symlink(gone.path(), path);
  ASSERT_EQ(run("ADD", "c1", path).exit_code, 0);
  gone.end();
  for (int i = 0; i < 500 && devices() != 0; ++i) usleep(10'000);
  fs::remove(path);
  fs::create_symlink(next.path(), path);

  service_->release_leaks();

  EXPECT_TRUE(service_->endpoints().empty());
  EXPECT_EQ(service_->pools()[0].resting, 1U);
}

TEST_F(PodsNetns, LeaksAreLookedForAgainAndAgain) {
  stop_agent();
  leak_interval_ = std::chrono::milliseconds(50);
  start_agent();
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);
  turn_for(std::chrono::milliseconds(200));
  ASSERT_EQ(service_->endpoints().size(), 1U) << "alive";
  pod.end();

  for (int i = 0; i < 100 && !service_->endpoints().empty(); ++i)
    turn_for(std::chrono::milliseconds(50));

  EXPECT_TRUE(service_->endpoints().empty());
  EXPECT_EQ(service_->counters().leaks_released, 1U);
}

TEST_F(PodsNetns, WhatACrashLeftInTheMiddleOfAnAddIsTakenAway) {
  PodNetns pod;
  PodNetns other;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);
  ASSERT_EQ(run("ADD", "c2", other.path()).exit_code, 0);
  stop_agent();
  // As before the last step of an ADD: the host's end is not up, and no file knows of it.
  fs::remove(folder_ / "state" / "pods.json");
  const std::string device = host_device_name({"net", "c1", "eth0"});
  ASSERT_EQ(system(("ip link set " + device + " down").c_str()), 0);

  start_agent();

  EXPECT_EQ(report_.adopted, 1U);
  EXPECT_EQ(report_.unfinished, 1U);
  ASSERT_EQ(service_->endpoints().size(), 1U);
  EXPECT_EQ(service_->endpoints()[0].container_id, "c2");
  EXPECT_EQ(devices(), 1U);
  EXPECT_EQ(run("ADD", "c1", pod.path()).exit_code, 0) << "the runtime tries again";
}

class PodsQueue : public PodsNetns {
 protected:
  // What sluice-cni leaves where no agent answers.
  void queue_del(const std::string& args = {}) {
    stop_agent();
    ASSERT_EQ(run("DEL", "c1", pod_.path(), "", args).exit_code, 0);
  }
  std::vector<std::string> queue() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_ / "queue"))
      names.push_back(entry.path().filename());
    return names;
  }

  PodNetns pod_;
};

TEST_F(PodsQueue, ADelIsReplayedWhateverTheWallClockSaidAtTheAdd) {
  clock_ = [] { return time(nullptr) * 1000 + 3'600'000; };  // set back before the DEL
  stop_agent();
  start_agent();
  ASSERT_EQ(run("ADD", "c1", pod_.path()).exit_code, 0);
  queue_del();

  start_agent();

  EXPECT_TRUE(service_->endpoints().empty());
  EXPECT_EQ(devices(), 0U);
  EXPECT_THAT(queue(), IsEmpty());
}

TEST_F(PodsQueue, ADelFromBeforeTheAddIsNotForIt) {
  ASSERT_EQ(run("ADD", "c1", pod_.path()).exit_code, 0);
  queue_del();
  const fs::path file = folder_ / "queue" / queue().at(0);
  const auto content = read_file(file);
  start_agent();
  ASSERT_TRUE(service_->endpoints().empty());
  ASSERT_EQ(run("ADD", "c1", pod_.path()).exit_code, 0);
  ASSERT_TRUE(write_file(file, *content));

  service_->replay_queue();

  EXPECT_EQ(service_->endpoints().size(), 1U);
  EXPECT_THAT(queue(), IsEmpty());
}

TEST_F(PodsQueue, ADelFromBeforeTheMachineStartedIsNotForAnAddOfNow) {
  ASSERT_EQ(run("ADD", "c1", pod_.path()).exit_code, 0);
  queue_del();
  const fs::path file = folder_ / "queue" / queue().at(0);
  cni::v1::CniRequest request;
  ASSERT_TRUE(request.ParseFromString(*read_file(file)));
  request.set_queued_boot_id("of another boot");
  request.set_queued_boot_ms(request.queued_boot_ms() + 3'600'000);
  ASSERT_TRUE(write_file(file, request.SerializeAsString()));

  start_agent();

  EXPECT_EQ(service_->endpoints().size(), 1U);
  EXPECT_THAT(queue(), IsEmpty());
}

TEST_F(PodsQueue, N9_ADelForAnotherPodsUidRemovesNothing) {
  ASSERT_EQ(run("ADD", "c1", pod_.path(), "", kArgs + std::string("u1")).exit_code, 0);
  queue_del(kArgs + std::string("u2"));
  start_agent();
  EXPECT_EQ(service_->endpoints().size(), 1U);
  EXPECT_THAT(queue(), IsEmpty());
  queue_del(kArgs + std::string("u1"));

  start_agent();

  EXPECT_TRUE(service_->endpoints().empty());
}

TEST_F(PodsQueue, JunkIsNamedOnceAndHoldsNothingUp) {
  ASSERT_EQ(run("ADD", "c1", pod_.path()).exit_code, 0);
  queue_del();
  std::ofstream(folder_ / "queue" / "1-1-x.del") << "garbage";
  fs::create_directory(folder_ / "queue" / "folder.del");

  start_agent();

  EXPECT_TRUE(service_->endpoints().empty());
  EXPECT_EQ(service_->queue_corrupt_total(), 2U);
  EXPECT_THAT(service_->conditions(),
              ElementsAre(AllOf(HasSubstr("1-1-x.del"), HasSubstr("folder.del"))));
  service_->replay_queue();
  EXPECT_THAT(service_->conditions(), IsEmpty()) << "they are out of the way";
}

}  // namespace
}  // namespace sluice
