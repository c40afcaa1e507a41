// SPDX-License-Identifier: Apache-2.0
// What happens to pods without a request of their own. Needs root.
#include "tests/unit/pods_netns_fixture.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

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

}  // namespace
}  // namespace sluice
