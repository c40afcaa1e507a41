// SPDX-License-Identifier: Apache-2.0
// The control stream between real operators and real agents: spans, changes, fail-over without
// sending again, agents that are slow or were away.
#include <thread>

#include "tests/unit/control_fixture.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

namespace wire = control::v1;

TEST_F(ControlTest, AnAgentHoldsAllNodesAndItsOwnPodsAndTheOperatorKnows) {
  Operator replica(*this, "a");
  replica.change({node_change("n1", "10.1.0.0/24"), node_change("n2", "10.2.0.0/24"),
                  pod_change("mine", "n1"), pod_change("other", "n2"), pod_change("pending", "")});
  const auto n1 = agent("n1", {replica.address()});

  ASSERT_TRUE(until_words(*n1, "n1 n2 | mine=1"));
  EXPECT_EQ(n1->intents[0].nodes[1].pod_cidrs[0], *parse_prefix("10.2.0.0/24"));
  EXPECT_THAT(n1->problems[0], IsEmpty());
  ASSERT_TRUE(until([&] { return only(replica).acked > 0; }));
  const AgentState state = only(replica);
  EXPECT_EQ(state.node + state.build.version, "n11.2.3");
  EXPECT_EQ(state.acked, state.sent);
  EXPECT_EQ(state.pending, 0U);
  EXPECT_TRUE(n1->source->state().connected);
  EXPECT_EQ(n1->source->state().instance, "a");
}

TEST_F(ControlTest, ChangesReachWhoseSpanTheyAreIn) {
  Operator replica(*this, "a");
  replica.change({node_change("n1"), node_change("n2"), pod_change("a", "n1")});
  const auto n1 = agent("n1", {replica.address()});
  const auto n2 = agent("n2", {replica.address()});
  ASSERT_TRUE(until_words(*n1, "n1 n2 | a=1"));
  ASSERT_TRUE(until_words(*n2, "n1 n2 |"));

  replica.change({pod_change("a", "n1", "2"), pod_change("b", "n1")});
  ASSERT_TRUE(until_words(*n1, "n1 n2 | a=2 b=1"));
  replica.change({no_pod("b"), pod_change("a", "n2", "3")});
  ASSERT_TRUE(until_words(*n1, "n1 n2 |"));
  ASSERT_TRUE(until_words(*n2, "n1 n2 | a=3"));
  replica.change({{.object = NodeObject{.name = "n1"}, .removed = true}});
  ASSERT_TRUE(until_words(*n1, "n2 |"));
  ASSERT_TRUE(until_words(*n2, "n2 | a=3"));
  // n2 was never told of what was n1's: its first intent, the pod that came, the node that went.
  EXPECT_EQ(n2->intents.size(), 3U);
}

TEST_F(ControlTest, FailOverToAnotherReplicaSendsNothingAgain) {
  Operator one(*this, "one");
  Operator two(*this, "two");
  for (Operator* replica : {&one, &two})
    replica->change({node_change("n1"), node_change("n2"), pod_change("a", "n1")});
  auto n1 = agent("n1", {one.address(), two.address()});
  ASSERT_TRUE(until_words(*n1, "n1 n2 | a=1"));
  Operator& first = n1->source->state().instance == "one" ? one : two;
  Operator& second = &first == &one ? two : one;
  ASSERT_TRUE(until([&] { return only(first).acked > 0; }));

  first.stop();

  ASSERT_TRUE(until([&] { return only(second).acked > 0; }));
  EXPECT_EQ(second.counters().resumed, 1U);
  EXPECT_EQ(second.counters().records, 0U);
  EXPECT_EQ(n1->intents.size(), 1U);  // nothing changed, so nothing is applied anew
}

TEST_F(ControlTest, FailOverSendsOnlyWhatDiffers) {
  std::vector<ObjectChange> cluster;
  for (int i = 0; i < 500; ++i) cluster.push_back(node_change("n" + std::to_string(i)));
  Operator one(*this, "one");
  one.change(cluster);
  auto n1 = agent("n1", {one.address()});
  ASSERT_TRUE(until([&] { return only(one).acked > 0; }));
  Intent last = n1->intents.back();
  n1.reset();

  Operator two(*this, "two");
  cluster.push_back(node_change("n7", "10.7.0.0/24"));
  cluster.push_back(pod_change("new", "n1"));
  two.change(cluster);
  two.change({{.object = NodeObject{.name = "n300"}, .removed = true}});
  n1 = agent(settings("n1", {two.address()}), last);

  ASSERT_TRUE(until([&] { return only(two).acked > 0; }));
  EXPECT_EQ(two.counters().differences, 1U);
  EXPECT_LE(two.counters().records, 4U);  // pieces: a bucket each, and the pod
  EXPECT_LT(two.counters().bytes, 1000U);
  const Intent& now = n1->intents.back();
  EXPECT_EQ(now.nodes.size(), 499U);
  EXPECT_EQ(now.nodes, two.resolver().intent().nodes);
  EXPECT_EQ(now.pods, two.resolver().intent().pods);
}

TEST_F(ControlTest, WithAllOperatorsAwayTheDiskCountsAndWhatWentMeanwhileGoesWhenOneIsBack) {
  Operator before(*this, "before");
  before.change({node_change("n1"), pod_change("stays", "n1"), pod_change("goes", "n1")});
  auto n1 = agent("n1", {before.address()});
  ASSERT_TRUE(until_words(*n1, "n1 | goes=1 stays=1"));
  const Intent last = n1->intents.back();
  const std::string address = before.address();
  n1.reset();
  before.stop();

  n1 = agent(settings("n1", {address}), last);
  ASSERT_EQ(n1->intents.size(), 1U);  // from inside open
  EXPECT_EQ(n1->words(), "n1 | goes=1 stays=1");
  ASSERT_EQ(n1->problems[0].size(), 1U);
  EXPECT_THAT(n1->problems[0][0].what, HasSubstr("no operator has been reached"));
  ASSERT_TRUE(until([&] { return n1->source->state().failures >= 3; }));
  EXPECT_FALSE(n1->source->state().connected);
  EXPECT_THAT(n1->source->state().error, HasSubstr("is tried in"));
  EXPECT_EQ(n1->intents.size(), 1U);

  Operator back(*this, "back");
  back.change({node_change("n1"), pod_change("stays", "n1"), pod_change("new", "n1")});
  n1 = agent(settings("n1", {address, back.address()}), last);
  ASSERT_TRUE(until_words(*n1, "n1 | new=1 stays=1"));
  EXPECT_THAT(n1->problems.back(), IsEmpty());
}

TEST_F(ControlTest, AnOperatorThatConfirmsTheDiskMakesTheIntentWhole) {
  Operator replica(*this, "a");
  replica.change({node_change("n1"), pod_change("a", "n1")});
  const Intent last = replica.resolver().intent();

  const auto n1 = agent(settings("n1", {replica.address()}), last);

  ASSERT_TRUE(until([&] { return n1->intents.size() == 2; }));
  EXPECT_EQ(n1->intents[0], n1->intents[1]);
  EXPECT_THAT(n1->problems[1], IsEmpty());
  EXPECT_GT(n1->intents[1].revision, n1->intents[0].revision);
  EXPECT_EQ(replica.counters().resumed, 1U);
}

TEST_F(ControlTest, NothingIsAcknowledgedBeforeTheKernelHasIt) {
  Operator replica(*this, "a");
  replica.change({node_change("n1")});
  const auto n1 = agent("n1", {replica.address()});
  n1->applies = false;
  ASSERT_TRUE(until_words(*n1, "n1 |"));
  replica.change({pod_change("a", "n1")});
  ASSERT_TRUE(until_words(*n1, "n1 | a=1"));
  EXPECT_EQ(only(replica).acked, 0U);

  n1->source->applied(n1->intents[0].revision, {});
  ASSERT_TRUE(until([&] { return only(replica).acked > 0; }));
  EXPECT_LT(only(replica).acked, only(replica).sent);
  n1->source->applied(n1->intents[1].revision, {});
  ASSERT_TRUE(until([&] { return only(replica).acked == only(replica).sent; }));
}

TEST_F(ControlTest, ErrorsOfObjectsReachTheOperatorAndGoWhenTheyAreMended) {
  Operator replica(*this, "a");
  replica.change({node_change("n1"), pod_change("a", "n1")});
  const auto n1 = agent("n1", {replica.address()});
  n1->faults = {{.kind = "Pod", .namespace_name = "demo", .name = "a", .message = "map full"}};
  for (int i = 0; i < 120; ++i)
    n1->faults.push_back({.kind = "Pod", .namespace_name = "x", .name = std::to_string(i)});

  ASSERT_TRUE(until([&] { return only(replica).acked > 0; }));
  EXPECT_EQ(only(replica).faults.size(), 100U);
  EXPECT_EQ(only(replica).faults_left_out, 21U);
  EXPECT_EQ(only(replica).faults[0].message, "map full");

  n1->source->applied(n1->intents[0].revision, {});  // the same revision, tried again
  ASSERT_TRUE(until([&] { return only(replica).faults.empty(); }));
  EXPECT_EQ(only(replica).faults_left_out, 0U);
}

TEST_F(ControlTest, StatusReachesTheOperatorAlsoTheNextOne) {
  Operator one(*this, "one");
  one.change({node_change("n1")});
  auto n1 = agent("n1", {one.address()});
  n1->source->report(false, "datapath: no map", {"datapath: no map"});
  ASSERT_TRUE(until([&] { return only(one).not_ready == "datapath: no map"; }));
  EXPECT_THAT(only(one).failing, testing::ElementsAre("datapath: no map"));

  n1->source->report(true, "", {});

  ASSERT_TRUE(until([&] { return only(one).ready; }));
  ASSERT_TRUE(until([&] { return one.reports().back().ready; }));
  EXPECT_FALSE(one.reports().front().ready);
}

TEST_F(ControlTest, AgentsAreSentAwayUntilTheClusterIsListed) {
  Operator fresh(*this, "fresh");  // has not said set_synced
  Operator ready(*this, "ready");
  ready.change({node_change("n1")});

  const auto n1 = agent("n1", {fresh.address(), ready.address()});

  ASSERT_TRUE(until_words(*n1, "n1 |"));
  EXPECT_EQ(n1->source->state().instance, "ready");
  EXPECT_EQ(fresh.counters().snapshots, 0U);
}

TEST_F(ControlTest, TheNewerStreamOfANodeTakesOver) {
  Operator replica(*this, "a");
  replica.change({node_change("n1")});
  auto old = raw(replica.address(), reviewer_.issue_for("n1"), client_tls());
  ASSERT_TRUE(old.stream->Write(hello("n1")));
  ASSERT_FALSE(old.read_to_mark().empty());

  const auto n1 = agent("n1", {replica.address()});

  ASSERT_TRUE(until_words(*n1, "n1 |"));
  EXPECT_TRUE(old.read_to_mark().empty());  // it ended
  EXPECT_EQ(old.stream->Finish().error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(replica.counters().superseded, 1U);
  EXPECT_EQ(replica.server().connected(), 1U);
}

// The operator keeps the newest of each object, whatever happens while an agent does not read.
TEST_F(ControlTest, AnAgentThatDoesNotReadCostsNothingAndThenGetsTheNewest) {
  Operator replica(*this, "a");
  replica.change({node_change("n1")});
  auto slow = raw(replica.address(), reviewer_.issue_for("n1"), client_tls());
  ASSERT_TRUE(slow.stream->Write(hello("n1")));
  ASSERT_FALSE(slow.read_to_mark().empty());

  const std::string padding(10'000, 'x');
  for (int round = 0; round < 300; ++round) {
    std::vector<ObjectChange> changes;
    for (int i = 0; i < 30; ++i) {
      changes.push_back(pod_change("p" + std::to_string(i), "n1", std::to_string(round) + padding));
    }
    const std::string passing = "passing" + std::to_string(round);
    changes.push_back(pod_change(passing, "n1"));
    replica.change(changes);
    replica.change({no_pod(passing)});
    ASSERT_LE(replica.server().figures().bytes, 31U * 10'500U);
    ASSERT_LE(replica.server().figures().removals, 256U);
  }
  // 90 MB happened. What left the operator is what the transport took before it stood still.
  EXPECT_LT(replica.counters().bytes, 20U << 20);
  EXPECT_GT(only(replica).pending, 0U);
  EXPECT_LE(only(replica).pending, 30U + 256U + 1U);

  std::map<std::string, std::string> held;
  const auto newest = [&] {
    return held.size() == 30 && std::all_of(held.begin(), held.end(), [](const auto& pod) {
             return pod.second.starts_with("299x");
           });
  };
  size_t records = 0;
  for (wire::OperatorMessage message; !newest() && slow.stream->Read(&message);) {
    if (message.has_snapshot()) held.clear();
    for (const auto& change : message.changes()) {
      if (!change.has_pod()) continue;
      ++records;
      change.removed() ? (void)held.erase(change.pod().name())
                       : (void)(held[change.pod().name()] = change.pod().labels(0).value());
    }
  }
  EXPECT_TRUE(newest());
  EXPECT_LT(records, 2000U);  // of the 9,600 changes that there were
  slow.context->TryCancel();
}

// Streams that break at any time, two replicas, a cluster that changes: all end in the same.
TEST_F(ControlTest, WhateverBreaksAgentsEndWithTheirSpan) {
  Operator one(*this, "one");
  Operator two(*this, "two");
  const auto change = [&](const std::vector<ObjectChange>& changes) {
    one.change(changes);
    two.change(changes);
  };
  change({node_change("n0"), node_change("n1"), node_change("n2")});
  std::vector<std::shared_ptr<Agent>> agents;
  for (const char* node : {"n0", "n1", "n2"})
    agents.push_back(agent(node, {one.address(), two.address()}));
  const auto pick = [&](size_t count) {
    return std::uniform_int_distribution<size_t>(0, count - 1)(random_);
  };

  for (int step = 0; step < 150; ++step) {
    const std::string name = std::to_string(pick(20));
    switch (pick(6)) {
      case 0:
        change({no_pod("p" + name)});
        break;
      case 1:
        change({node_change("x" + name, "10." + name + ".0.0/24")});
        break;
      case 2:
        change({{.object = NodeObject{.name = "x" + name}, .removed = true}});
        break;
      default:
        change({pod_change("p" + name, "n" + std::to_string(pick(3)), std::to_string(step))});
    }
    if (step % 25 == 24) {  // somebody else's stream of the node, for a moment
      const std::string node = "n" + std::to_string(pick(3));
      auto thief = raw(pick(2) == 0 ? one.address() : two.address(), reviewer_.issue_for(node),
                       client_tls());
      thief.stream->Write(hello(node));
      thief.read_to_mark();
      thief.context->TryCancel();
    }
    if (pick(4) == 0) {
      loop_.restart();
      loop_.run_for(std::chrono::milliseconds(pick(10)));
    }
  }

  for (size_t i = 0; i < agents.size(); ++i) {
    Intent expected = one.resolver().intent();
    std::erase_if(expected.pods,
                  [&](const auto& pod) { return pod.node != "n" + std::to_string(i); });
    EXPECT_TRUE(until([&] {
      return !agents[i]->intents.empty() && agents[i]->intents.back() == expected;
    })) << words(expected)
        << "\nbut " << agents[i]->words();
  }
}

}  // namespace
}  // namespace sluice
