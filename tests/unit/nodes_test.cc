// SPDX-License-Identifier: Apache-2.0
// When and how a Node is told that it has a network.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "operator/nodes/node_marks.h"
#include "operator/nodes/patches.h"
#include "tests/unit/kube_fakes.h"

namespace sluice {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr const char* kJson = "application/json";
constexpr const char* kNow = "2026-01-01T00:00:00Z";
const json kTaint = {{"key", kAgentNotReadyTaint}, {"effect", "NoSchedule"}};

json node_object(const std::vector<json>& taints, const char* network = nullptr) {
  json node = {{"metadata", {{"name", "n1"}}}, {"spec", {{"taints", taints}}}};
  node["status"]["conditions"] = json::array({{{"type", "Ready"}, {"status", "True"}}});
  if (network != nullptr)
    node["status"]["conditions"].push_back({{"type", "NetworkUnavailable"}, {"status", network}});
  return node;
}

TEST(NodePatches, TakeOnlyOurTaintAwayAndOnlyWhereItStillIs) {
  const json other = {{"key", "node.kubernetes.io/unreachable"}, {"effect", "NoExecute"}};
  const json with_value = {{"key", kAgentNotReadyTaint}, {"effect", "NoExecute"}, {"value", "x"}};

  const auto patches = node_patches(node_object({kTaint, other, with_value}).dump(), kNow);

  ASSERT_TRUE(patches && patches->taint);
  json patched = node_object({kTaint, other, with_value}).patch(json::parse(*patches->taint));
  EXPECT_EQ(patched["spec"]["taints"], json::array({other}));
  // Somebody put one in front meanwhile.
  EXPECT_THROW(node_object({other, kTaint, other}).patch(json::parse(*patches->taint)),
               json::exception);
}

TEST(NodePatches, SetTheConditionUnlessItIsSet) {
  for (const char* network : {"True", "Unknown", static_cast<const char*>(nullptr)}) {
    const auto patches = node_patches(node_object({}, network).dump(), kNow);

    ASSERT_TRUE(patches && patches->condition);
    const json sent = json::parse(*patches->condition)["status"]["conditions"];
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0]["type"], "NetworkUnavailable");
    EXPECT_EQ(sent[0]["status"], "False");
    EXPECT_EQ(sent[0]["lastTransitionTime"], kNow);
    EXPECT_FALSE(patches->taint);
  }
  EXPECT_FALSE(node_patches(node_object({}, "False").dump(), kNow)->condition);
}

TEST(NodePatches, NodesWithoutAnythingAreFineAndGarbageIsNot) {
  EXPECT_TRUE(node_patches("{}", kNow)->condition);
  EXPECT_TRUE(node_patches(R"({"spec":{},"status":{}})", kNow)->condition);
  EXPECT_FALSE(node_patches("no JSON", kNow));
  EXPECT_FALSE(node_patches(R"({"spec":{"taints":["text"]}})", kNow));
}

class NodeMarksTest : public testing::Test {
 protected:
  NodeMarksTest()
      : api(http, timers, *Credentials::open({.servers = {"https://a:1"}}), [] { return 0.0; }, {}),
        marks(loop, api, timers, {}, {.now = [] { return kNow; }, .random = [] { return 0.0; }}) {}

  void report(AgentState state) {
    std::jthread([&] { marks.report(state); }).join();  // a thread of gRPC's
    loop.restart();
    loop.poll();
  }
  void ready(const std::string& node, const std::string& peer = "ipv4:1") {
    report({.node = node, .peer = peer, .acked = 5, .ready = true});
  }
  void gone(const std::string& node, const std::string& peer = "ipv4:1") {
    report({.node = node, .peer = peer, .connected = false, .acked = 5, .ready = true});
  }
  void say_all_is_done() { http.answer(200, node_object({}, "False").dump(), kJson); }

  asio::io_context loop;
  ScriptedHttp http;
  ManualTimers timers;
  ApiClient api;
  NodeMarks marks;
};

TEST_F(NodeMarksTest, ReadyAgentsNodeGetsItsConditionThenLosesTheTaint) {
  ready("n1");
  EXPECT_EQ(http.target(), "/api/v1/nodes/n1");
  http.answer(200, node_object({kTaint}, "True").dump(), kJson);

  EXPECT_EQ(http.request().method, "PATCH");
  EXPECT_EQ(http.target(), "/api/v1/nodes/n1/status");
  EXPECT_THAT(http.request().headers,
              testing::Contains("Content-Type: application/strategic-merge-patch+json"));
  http.answer(200, "{}", kJson);
  EXPECT_EQ(http.target(), "/api/v1/nodes/n1");
  EXPECT_THAT(http.request().headers,
              testing::Contains("Content-Type: application/json-patch+json"));
  http.answer(200, "{}", kJson);
  EXPECT_TRUE(http.idle());
  EXPECT_EQ(marks.marked(), 1U);
}

TEST_F(NodeMarksTest, AgentThatHasNothingOfOursYetIsNotBelieved) {
  report({.node = "n1", .peer = "p", .acked = 0, .ready = true});
  report({.node = "n1", .peer = "p", .acked = 4, .ready = false});
  EXPECT_TRUE(http.idle());

  report({.node = "n1", .peer = "p", .acked = 4, .ready = true});
  EXPECT_FALSE(http.idle());
}

TEST_F(NodeMarksTest, AgentThatIsNotReadyAnyMoreChangesNothing) {
  ready("n1");
  say_all_is_done();

  report({.node = "n1", .peer = "ipv4:1", .acked = 6, .ready = false});
  gone("n1");
  timers.advance(std::chrono::hours(1));
  EXPECT_EQ(http.exchanges.size(), 1U);
}

TEST_F(NodeMarksTest, EachAcknowledgementIsNoRequest) {
  for (int i = 0; i < 100; ++i) ready("n1");
  say_all_is_done();
  for (int i = 0; i < 100; ++i) ready("n1");

  EXPECT_EQ(http.exchanges.size(), 1U);
}

TEST_F(NodeMarksTest, NewStreamIsLookedAtAgainAndTheEndOfTheOldOneIsNot) {
  ready("n1", "ipv4:1");
  say_all_is_done();
  ready("n1", "ipv4:2");
  gone("n1", "ipv4:1");
  say_all_is_done();
  EXPECT_EQ(http.exchanges.size(), 2U);

  ready("n1", "ipv4:2");
  EXPECT_EQ(http.exchanges.size(), 2U) << "the end of the old stream is no news of the new one";
}

TEST_F(NodeMarksTest, NodeThatIsMadeAnewIsToldAgain) {
  ready("n1");
  say_all_is_done();
  marks.node_removed("n1");
  EXPECT_TRUE(http.idle());

  marks.node_seen("n1");
  say_all_is_done();
  marks.node_seen("n1");  // any change of it
  EXPECT_EQ(http.exchanges.size(), 2U);
}

TEST_F(NodeMarksTest, NodeThatIsNotThereYetIsToldWhenItIs) {
  ready("n1");
  http.answer(404, "{}", kJson);
  EXPECT_TRUE(http.idle());
  EXPECT_EQ(timers.waiting(), 0U);

  marks.node_seen("n1");
  EXPECT_FALSE(http.idle());
}

TEST_F(NodeMarksTest, FailureIsTriedAgainLaterAndLater) {
  ready("n1");
  for (const int wait : {250, 500, 1000}) {
    http.answer(200, node_object({kTaint}, "False").dump(), kJson);
    http.answer(422, R"({"kind":"Status","reason":"Invalid","message":"test failed"})", kJson);
    timers.advance(milliseconds(wait - 1));
    EXPECT_TRUE(http.idle()) << wait;
    timers.advance(milliseconds(1));
    EXPECT_EQ(http.target(), "/api/v1/nodes/n1") << wait;
    EXPECT_EQ(http.request().method, "GET");
  }
  EXPECT_EQ(marks.failures(), 3U);
}

TEST_F(NodeMarksTest, ManyNodesAreToldAFewAtATime) {
  for (int i = 0; i < 100; ++i) ready("n" + std::to_string(i), "p" + std::to_string(i));
  EXPECT_EQ(http.exchanges.size(), 16U);

  for (size_t i = 0; i < http.exchanges.size(); ++i) {
    size_t waiting = 0;
    for (const auto& exchange : http.exchanges) waiting += exchange.over ? 0 : 1;
    EXPECT_LE(waiting, 16U);
    http.exchanges[i].over = true;
    const auto handlers = http.exchanges[i].handlers;
    handlers.head({.status = 200, .content_type = kJson});
    handlers.body(node_object({}, "False").dump());
    handlers.end({.status = {}, .sent = true});
  }
  EXPECT_EQ(marks.marked(), 100U);
  EXPECT_EQ(marks.pending(), 0U);
}

}  // namespace
}  // namespace sluice
