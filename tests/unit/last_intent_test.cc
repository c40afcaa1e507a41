// SPDX-License-Identifier: Apache-2.0
// What a source that comes up broken may take away: nothing (N11).
#include "agent/desired/last_intent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

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

// An agent from its start on: acts on what the source has, and saves it.
class AgentRun {
 public:
  explicit AgentRun(const std::string& folder) : last_(folder) {}

  // The source is so now; what is in force then.
  const Intent& judge(const Intent& source, bool problem) {
    IntentDelta delta = everything(source);
    for (const auto& node : source_.nodes) {
      if (!find_node(source, node.name)) delta.removed_nodes.push_back(node.name);
    }
    for (const auto& pod : source_.pods) {
      if (!find_pod(source, pod.namespace_name, pod.name))
        delta.removed_pods.push_back(key_of(pod));
    }
    source_ = source;
    delta = last_.judge(delta, problem);
    apply(delta, now_);
    saved_ = last_.save(delta, now_);
    return now_;
  }
  const Status& saved() const { return saved_; }

 private:
  LastIntent last_;
  Intent source_;
  Intent now_;
  Status saved_;
};

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
  AgentRun(folder_).judge(cluster(), false);
  AgentRun restarted(folder_);
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
  AgentRun(folder_).judge(cluster(), false);
  AgentRun restarted(folder_);
  Intent one;
  one.nodes = {cluster().nodes[0]};

  EXPECT_EQ(restarted.judge(one, false), one);
  EXPECT_EQ(restarted.judge(one, true), one);
  EXPECT_EQ(AgentRun(folder_).judge(Intent(), true), one);
}

TEST_F(LastIntentTest, WhatIsInForceWhileAProblemStandsIsSaved) {
  AgentRun running(folder_);
  running.judge(cluster(), false);
  Intent later = cluster();
  later.pods.clear();  // deleted, while another manifest is broken
  EXPECT_EQ(running.judge(later, true), later);

  EXPECT_EQ(AgentRun(folder_).judge(Intent(), true), later) << "the deleted pod came back";
}

TEST_F(LastIntentTest, ObjectThatTheBrokenSourceHadAndLostIsDeleted) {
  AgentRun(folder_).judge(cluster(), false);
  AgentRun restarted(folder_);
  Intent one;
  one.nodes = {cluster().nodes[1]};
  EXPECT_EQ(restarted.judge(one, true), cluster());

  Intent without = cluster();
  without.nodes.pop_back();
  EXPECT_EQ(restarted.judge(Intent(), true), without);
}

TEST_F(LastIntentTest, WhatWasTakenFromTheFileIsSavedAgain) {
  AgentRun(folder_).judge(cluster(), false);
  AgentRun(folder_).judge(Intent(), true);

  EXPECT_EQ(AgentRun(folder_).judge(Intent(), true), cluster());
}

TEST(MissingIn, OldOneThatAFreshOneReplacedIsLeftOut) {
  Intent fresh;
  fresh.nodes = {{.name = "n3",
                  .addresses = {*parse_address("192.0.2.3")},
                  .pod_cidrs = {*parse_prefix("fd00:2::/56")}},
                 {.name = "n4", .addresses = {*parse_address("192.0.2.1")}, .pod_cidrs = {}}};
  PodIntent pod = cluster().pods[0];
  pod.name = "web-2";
  fresh.pods = {pod};

  EXPECT_EQ(missing_in(fresh, cluster()), Intent());
}

TEST(MissingIn, PodsOfTheHostsNetworkShareItsAddress) {
  Intent fresh;
  PodIntent pod;
  pod.name = "proxy";
  pod.host_network = true;
  pod.addresses = {*parse_address("192.0.2.1")};
  fresh.pods = {pod};
  Intent last = fresh;
  last.pods[0].name = "exporter";

  EXPECT_EQ(missing_in(fresh, last).pods.size(), 1U);
}

TEST_F(LastIntentTest, GarbageInTheFileCountsAsNone) {
  std::ofstream(folder_ + "/intent.json") << "{ half";

  EXPECT_EQ(AgentRun(folder_).judge(cluster(), true), cluster());
}

TEST_F(LastIntentTest, SourceThatIsMendedTakesAwayWhatItDoesNotHave) {
  AgentRun(folder_).judge(cluster(), false);
  AgentRun restarted(folder_);
  Intent one;
  one.nodes = {cluster().nodes[0]};
  ASSERT_EQ(restarted.judge(one, true), cluster());

  EXPECT_EQ(restarted.judge(one, false), one);
  EXPECT_EQ(AgentRun(folder_).judge(Intent(), true), one);
}

TEST_F(LastIntentTest, FreshObjectTakesAnOldOnesAddressWhileAProblemStands) {
  AgentRun(folder_).judge(cluster(), false);
  AgentRun restarted(folder_);
  Intent one;
  ASSERT_EQ(restarted.judge(one, true), cluster());
  one.pods = {cluster().pods[0]};
  one.pods[0].name = "web-2";

  const Intent& now = restarted.judge(one, true);

  EXPECT_EQ(now.pods, one.pods);
  EXPECT_EQ(now.nodes, cluster().nodes);
}

Intent many_pods(size_t count) {
  Intent intent = cluster();
  for (size_t i = 0; i < count; ++i) {
    PodIntent pod = cluster().pods[0];
    pod.name = "p" + std::to_string(10'000 + i);
    pod.addresses.clear();
    intent.pods.insert(intent.pods.end() - 1, pod);
  }
  return intent;
}

TEST_F(LastIntentTest, ChangeIsAddedToTheFileAndNotTheWholeWrittenAnew) {
  Intent intent = many_pods(1000);
  LastIntent running(folder_);
  ASSERT_TRUE(running.save(everything(intent), intent));
  const auto whole = std::filesystem::file_size(folder_ + "/intent.json");

  IntentDelta delta;
  intent.pods[500].labels["app"] = "changed";
  delta.pods = {std::make_shared<const PodIntent>(intent.pods[500])};
  delta.removed_pods = {key_of(intent.pods[7])};
  intent.pods.erase(intent.pods.begin() + 7);
  ASSERT_TRUE(running.save(delta, intent));

  const auto now = std::filesystem::file_size(folder_ + "/intent.json");
  EXPECT_GT(now, whole);
  EXPECT_LT(now, whole + 1000);
  EXPECT_EQ(AgentRun(folder_).judge(Intent(), true), intent);
}

TEST_F(LastIntentTest, FileStaysWithinTwiceTheWhole) {
  LastIntent last(folder_);
  Intent intent = many_pods(1000);
  ASSERT_TRUE(last.save(everything(intent), intent));
  const auto whole = std::filesystem::file_size(folder_ + "/intent.json");
  std::uintmax_t largest = 0;
  size_t anew = 0;
  std::uintmax_t before = whole;
  for (int i = 0; i < 3000; ++i) {
    PodIntent& pod = intent.pods[static_cast<size_t>(i) % intent.pods.size()];
    pod.uid = std::to_string(i);
    IntentDelta delta;
    delta.pods = {std::make_shared<const PodIntent>(pod)};
    ASSERT_TRUE(last.save(delta, intent));
    const auto now = std::filesystem::file_size(folder_ + "/intent.json");
    largest = std::max(largest, now);
    if (now < before) ++anew;
    before = now;
  }

  EXPECT_LT(largest, whole * 21 / 10);
  EXPECT_GE(anew, 2U);
  EXPECT_LE(anew, 4U) << "a change costs the whole";
  EXPECT_EQ(AgentRun(folder_).judge(Intent(), true), intent);
}

TEST_F(LastIntentTest, ChangeThatACrashCutOffIsLeftOutAndTheNextAgentGoesOn) {
  Intent intent = cluster();
  AgentRun running(folder_);
  running.judge(intent, false);
  std::ofstream(folder_ + "/intent.json", std::ios::app) << R"({"nodes":[],"pods":[{"na)";

  AgentRun restarted(folder_);
  EXPECT_EQ(restarted.judge(Intent(), true), intent);
  EXPECT_EQ(restarted.judge(intent, true), intent);
  intent.pods.clear();
  restarted.judge(intent, true);
  EXPECT_EQ(AgentRun(folder_).judge(Intent(), true), intent);
}

TEST_F(LastIntentTest, FileThatSomebodyRemovedIsWrittenWhole) {
  AgentRun running(folder_);
  running.judge(cluster(), false);
  std::filesystem::remove(folder_ + "/intent.json");
  Intent one = cluster();
  one.pods.clear();
  running.judge(one, false);

  EXPECT_TRUE(running.saved());
  EXPECT_EQ(AgentRun(folder_).judge(Intent(), true), one);
}

TEST_F(LastIntentTest, FileThatCannotBeWrittenIsSaidAndTriedAgain) {
  AgentRun last(folder_);
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
