// SPDX-License-Identifier: Apache-2.0
// What a source that comes up broken may take away: nothing (N11).
#include "agent/desired/last_intent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace sluice {
namespace {

Intent cluster() {
  Intent intent;
  intent.nodes = {{.name = "n1",
                   .addresses = {*parse_address("192.0.2.1")},
                   .pod_cidrs = {*parse_prefix("10.1.0.0/24")}},
                  {.name = "n2",
                   .addresses = {*parse_address("fd00::2")},
                   .pod_cidrs = {*parse_prefix("fd00:2::/64")}}};
  PodIntent pod;
  pod.namespace_name = "demo";
  pod.name = "web";
  pod.uid = "u";
  pod.node = "n2";
  pod.addresses = {*parse_address("fd00:2::5")};
  pod.labels = {{"app", "web"}};
  pod.identity = "namespace=demo";
  pod.workload_kind = "Deployment";
  pod.workload_name = "web";
  intent.pods = {pod};
  return intent;
}

class LastIntentTest : public testing::Test {
 protected:
  LastIntentTest() {
    std::string name = "/tmp/last_intent_test.XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~LastIntentTest() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST(EncodeIntent, ReadsWhatItWrote) {
  const auto read = decode_intent(encode_intent(cluster()));

  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(*read, cluster());
}

TEST(EncodeIntent, RefusesWhatItDoesNotUnderstand) {
  EXPECT_FALSE(decode_intent("{"));
  EXPECT_FALSE(decode_intent("{}"));
  EXPECT_FALSE(decode_intent(R"({"version":2,"nodes":[],"pods":[]})"));
  EXPECT_FALSE(decode_intent(
      R"({"version":1,"nodes":[{"name":"a","addresses":["x"],"podCIDRs":[]}],"pods":[]})"));
}

TEST_F(LastIntentTest, N11_BrokenSourceAfterARestartTakesNothingAway) {
  LastIntent(folder_).judge(cluster(), false);
  LastIntent restarted(folder_);
  Intent half;
  half.nodes = {cluster().nodes[0]};
  half.nodes[0].pod_cidrs = {*parse_prefix("10.9.0.0/24")};

  const Intent judged = restarted.judge(half, true);

  ASSERT_EQ(judged.nodes.size(), 2U);
  EXPECT_EQ(judged.nodes[0], half.nodes[0]);
  EXPECT_EQ(judged.nodes[1], cluster().nodes[1]);
  EXPECT_EQ(judged.pods, cluster().pods);
}

TEST_F(LastIntentTest, WholeSourceAloneCountsFromThenOn) {
  LastIntent(folder_).judge(cluster(), false);
  LastIntent restarted(folder_);
  Intent one;
  one.nodes = {cluster().nodes[0]};

  EXPECT_EQ(restarted.judge(one, false), one);
  EXPECT_EQ(restarted.judge(one, true), one);
  EXPECT_EQ(LastIntent(folder_).judge(Intent(), true), one);
}

TEST_F(LastIntentTest, WhatIsInForceWhileAProblemStandsIsSaved) {
  LastIntent running(folder_);
  running.judge(cluster(), false);
  Intent later = cluster();
  later.pods.clear();  // deleted, while another manifest is broken
  EXPECT_EQ(running.judge(later, true), later);

  EXPECT_EQ(LastIntent(folder_).judge(Intent(), true), later) << "the deleted pod came back";
}

TEST_F(LastIntentTest, ObjectThatTheBrokenSourceHadAndLostIsDeleted) {
  LastIntent(folder_).judge(cluster(), false);
  LastIntent restarted(folder_);
  Intent one;
  one.nodes = {cluster().nodes[1]};
  EXPECT_EQ(restarted.judge(one, true), cluster());

  Intent without = cluster();
  without.nodes.pop_back();
  EXPECT_EQ(restarted.judge(Intent(), true), without);
}

TEST_F(LastIntentTest, WhatWasTakenFromTheFileIsSavedAgain) {
  LastIntent(folder_).judge(cluster(), false);
  LastIntent(folder_).judge(Intent(), true);

  EXPECT_EQ(LastIntent(folder_).judge(Intent(), true), cluster());
}

TEST(WithMissing, OldOneThatAFreshOneReplacedIsLeftOut) {
  Intent fresh;
  fresh.nodes = {{.name = "n3",
                  .addresses = {*parse_address("192.0.2.3")},
                  .pod_cidrs = {*parse_prefix("fd00:2::/56")}},
                 {.name = "n4", .addresses = {*parse_address("192.0.2.1")}, .pod_cidrs = {}}};
  PodIntent pod = cluster().pods[0];
  pod.name = "web-2";
  fresh.pods = {pod};

  EXPECT_EQ(with_missing(fresh, cluster()), fresh);
}

TEST(WithMissing, PodsOfTheHostsNetworkShareItsAddress) {
  Intent fresh;
  PodIntent pod;
  pod.name = "proxy";
  pod.host_network = true;
  pod.addresses = {*parse_address("192.0.2.1")};
  fresh.pods = {pod};
  Intent last = fresh;
  last.pods[0].name = "exporter";

  EXPECT_EQ(with_missing(fresh, last).pods.size(), 2U);
}

TEST_F(LastIntentTest, GarbageInTheFileCountsAsNone) {
  std::ofstream(folder_ + "/intent.json") << "{ half";

  EXPECT_EQ(LastIntent(folder_).judge(cluster(), true), cluster());
}

TEST_F(LastIntentTest, FileThatCannotBeWrittenIsSaidAndTriedAgain) {
  LastIntent last(folder_);
  std::filesystem::remove_all(folder_);

  EXPECT_EQ(last.judge(cluster(), false), cluster());
  EXPECT_FALSE(last.saved());
  std::filesystem::create_directory(folder_);
  last.judge(cluster(), false);
  EXPECT_TRUE(last.saved());
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/intent.json"));
}

}  // namespace
}  // namespace sluice
