// SPDX-License-Identifier: Apache-2.0
// Objects to intent: order never matters, overlaps have one winner; and the standalone glue around
// it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <random>

#include "agent/control/standalone.h"
#include "operator/resolve/resolve.h"
#include "tests/unit/naive_resolve.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Everything at once.
Resolution resolve(const Objects& objects) {
  std::vector<ObjectChange> changes;
  changes.reserve(objects.nodes.size() + objects.pods.size());
  for (const NodeObject& node : objects.nodes)
    changes.push_back({.object = node, .removed = false});
  for (const PodObject& pod : objects.pods) changes.push_back({.object = pod, .removed = false});
  Resolver resolver;
  (void)resolver.apply(changes);
  return {.intent = resolver.intent(), .problems = resolver.problems()};
}

NodeObject node(const std::string& name, const std::vector<std::string>& addresses,
                const std::vector<std::string>& cidrs) {
  NodeObject object{.name = name, .origin = {.file = name + ".yaml", .line = 1, .column = 1}};
  for (const auto& address : addresses)
    object.internal_addresses.push_back(*parse_address(address));
  for (const auto& cidr : cidrs) object.pod_cidrs.push_back(*parse_prefix(cidr));
  return object;
}

PodObject pod(const std::string& namespace_name, const std::string& name,
              const std::vector<std::string>& addresses = {}) {
  PodObject object{.namespace_name = namespace_name, .name = name};
  for (const auto& address : addresses) object.addresses.push_back(*parse_address(address));
  return object;
}

TEST(Resolve, SortsNodesAndPods) {
  Objects objects;
  objects.nodes = {node("b", {"192.0.2.2"}, {"10.2.0.0/24"}),
                   node("a", {"192.0.2.1"}, {"10.1.0.0/24"})};
  objects.pods = {pod("z", "a"), pod("a", "b"), pod("a", "a")};

  const Resolution resolution = resolve(objects);

  ASSERT_THAT(resolution.problems, IsEmpty());
  EXPECT_EQ(resolution.intent.nodes[0].name, "a");
  EXPECT_EQ(resolution.intent.pods[0].name, "a");
  EXPECT_EQ(resolution.intent.pods[0].identity, "namespace=a");
  EXPECT_EQ(resolution.intent.pods[1].name, "b");
  EXPECT_EQ(resolution.intent.pods[2].identity, "namespace=z");
}

TEST(Resolve, KindsThatNoNodeNeedsYetChangeNothing) {
  const std::vector<ObjectChange> changes = {
      {.object = NamespaceObject{.name = "a"}},
      {.object = ServiceObject{.name = "a"}},
      {.object = CustomObject{.kind = "IPPool", .name = "a"}}};
  Resolver resolver;

  EXPECT_TRUE(resolver.apply(changes).empty());
  EXPECT_TRUE(resolver.intent().nodes.empty() && resolver.intent().pods.empty());
}

TEST(Resolve, NodeKeepsItsFirstAddressOfEachFamily) {
  Objects objects;
  objects.nodes = {node("a", {"192.0.2.1", "192.0.2.9", "2001:db8::1", "2001:db8::2"}, {})};

  const auto intent = resolve(objects).intent;

  EXPECT_THAT(intent.nodes[0].addresses,
              ElementsAre(*parse_address("192.0.2.1"), *parse_address("2001:db8::1")));
}

TEST(Resolve, OverlappingPodCidrBelongsToTheNodeThatSortsFirst) {
  Objects objects;
  objects.nodes = {node("b", {}, {"10.1.0.128/25", "fd00:2::/64"}), node("a", {}, {"10.1.0.0/24"})};

  const Resolution resolution = resolve(objects);

  EXPECT_THAT(resolution.intent.nodes[0].pod_cidrs, ElementsAre(*parse_prefix("10.1.0.0/24")));
  EXPECT_THAT(resolution.intent.nodes[1].pod_cidrs, ElementsAre(*parse_prefix("fd00:2::/64")));
  ASSERT_EQ(resolution.problems.size(), 1U);
  EXPECT_EQ(to_string(resolution.problems[0]),
            "b.yaml:1:1: Node b: spec.podCIDRs[0]: 10.1.0.128/25 of node b overlaps 10.1.0.0/24 of "
            "node a; node a keeps its "
            "range, 10.1.0.128/25 is not used");
}

TEST(Resolve, WiderRangeOfALaterNodeLosesToo) {
  Objects objects;
  objects.nodes = {node("a", {}, {"10.1.7.0/24"}), node("b", {}, {"10.0.0.0/8"}),
                   node("c", {}, {"10.2.0.0/24"})};

  const Resolution resolution = resolve(objects);

  EXPECT_THAT(resolution.intent.nodes[1].pod_cidrs, IsEmpty());
  EXPECT_THAT(resolution.intent.nodes[2].pod_cidrs,
              ElementsAre(*parse_prefix("10.2.0.0/24")));  // b's loss frees it
  EXPECT_EQ(resolution.problems.size(), 1U);
}

TEST(Resolve, SharedAddressesHaveOneOwner) {
  Objects objects;
  objects.nodes = {node("b", {"192.0.2.1"}, {}), node("a", {"192.0.2.1"}, {})};
  objects.pods = {pod("d", "y", {"10.0.0.1"}), pod("d", "x", {"10.0.0.1"})};

  const Resolution resolution = resolve(objects);

  EXPECT_EQ(resolution.intent.nodes[0].addresses.size(), 1U);
  EXPECT_THAT(resolution.intent.nodes[1].addresses, IsEmpty());
  EXPECT_EQ(resolution.intent.pods[0].addresses.size(), 1U);
  EXPECT_THAT(resolution.intent.pods[1].addresses, IsEmpty());
  ASSERT_EQ(resolution.problems.size(), 2U);
  EXPECT_THAT(to_string(resolution.problems[0]),
              HasSubstr("Node b: status.addresses: 192.0.2.1 is the InternalIP of node a too"));
  EXPECT_THAT(to_string(resolution.problems[1]),
              HasSubstr("Pod d/y: status.podIPs: 10.0.0.1 is an address of pod d/x too"));
}

TEST(Resolve, AddressesOfFinishedPodsAreFree) {
  Objects objects;
  objects.pods = {pod("d", "a", {"10.0.0.1"}), pod("d", "b", {"10.0.0.1"})};
  objects.pods[0].finished = true;

  const Resolution resolution = resolve(objects);

  EXPECT_THAT(resolution.problems, IsEmpty());
  EXPECT_THAT(resolution.intent.pods[0].addresses, IsEmpty());
  EXPECT_EQ(resolution.intent.pods[1].addresses.size(), 1U);
}

TEST(Resolve, PodsOfTheHostsNetworkShareTheirNodesAddress) {
  Objects objects;
  objects.pods = {pod("d", "a", {"192.0.2.1"}), pod("d", "b", {"192.0.2.1"})};
  objects.pods[0].host_network = objects.pods[1].host_network = true;

  EXPECT_THAT(resolve(objects).problems, IsEmpty());
}

TEST(Resolve, WorkloadOfAReplicaSetIsItsDeployment) {
  Objects objects;
  objects.pods = {pod("d", "a"), pod("d", "b"), pod("d", "c")};
  objects.pods[0].owner_kind = objects.pods[1].owner_kind = "ReplicaSet";
  objects.pods[0].owner_name = objects.pods[1].owner_name = "web-5d4f";
  objects.pods[0].labels = {{"pod-template-hash", "5d4f"}};
  objects.pods[2].owner_kind = "DaemonSet";
  objects.pods[2].owner_name = "log";

  const auto pods = resolve(objects).intent.pods;

  EXPECT_EQ(pods[0].workload_kind + "/" + pods[0].workload_name, "Deployment/web");
  EXPECT_EQ(pods[1].workload_kind + "/" + pods[1].workload_name, "ReplicaSet/web-5d4f");
  EXPECT_EQ(pods[2].workload_kind + "/" + pods[2].workload_name, "DaemonSet/log");
}

TEST(Resolve, AnyOrderOfObjectsGivesTheSameIntent) {
  std::mt19937 random(7);
  Objects objects;
  const auto pick = [&](int count) {
    return std::to_string(std::uniform_int_distribution<int>(0, count - 1)(random));
  };
  for (int i = 0; i < 40; ++i) {
    const std::string n = std::to_string(i);
    objects.nodes.push_back(
        node("n" + n, {"192.0.2." + pick(30)},
             {"10." + pick(8) + "." + pick(4) + ".0/24", "10." + n + ".0.0/16"}));
    objects.pods.push_back(pod("ns" + pick(3), "p" + n, {"10.0.0." + pick(20)}));
  }
  const Resolution expected = resolve(objects);
  ASSERT_FALSE(expected.problems.empty());

  for (int round = 0; round < 50; ++round) {
    std::shuffle(objects.nodes.begin(), objects.nodes.end(), random);
    std::shuffle(objects.pods.begin(), objects.pods.end(), random);
    const Resolution actual = resolve(objects);
    ASSERT_EQ(actual.intent, expected.intent);
    ASSERT_EQ(actual.problems, expected.problems);
  }
  for (size_t a = 0; a < expected.intent.nodes.size(); ++a) {
    for (size_t b = 0; b < a; ++b) {
      for (const Prefix& one : expected.intent.nodes[a].pod_cidrs) {
        for (const Prefix& two : expected.intent.nodes[b].pod_cidrs)
          ASSERT_FALSE(overlaps(one, two));
      }
    }
  }
}

TEST(IdentityName, TakesOnlyKeysThatSelectorsRead) {
  const std::map<std::string, std::string> labels = {
      {"app", "web"}, {"job-id", "17"}, {"tier", "front"}};

  EXPECT_EQ(identity_name("demo", labels, {}), "namespace=demo");
  EXPECT_EQ(identity_name("demo", labels, {"tier", "app", "other"}),
            "namespace=demo;app=web;tier=front");
}

TEST(Standalone, CountsRevisionsOfTheIntentAndReportsBothKindsOfProblems) {
  char name[] = "/tmp/sluice-standalone-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string folder = name;
  const auto write = [&](const std::string& file, const std::string& text) {
    std::ofstream(folder + "/" + file) << text;
  };
  const auto node_text = [](const std::string& node_name) {
    return "apiVersion: v1\nkind: Node\nmetadata: {name: " + node_name +
           "}\nspec: {podCIDR: 10.1.0.0/24}\n";
  };
  write("a.yaml", node_text("a"));
  asio::io_context loop;
  Intent intent;
  std::vector<std::pair<Intent, std::vector<SourceProblem>>> calls;
  auto source =
      StandaloneSource::open(loop, folder, [&](const IntentDelta& delta, const auto& problems) {
        apply(delta, intent);
        calls.emplace_back(intent, problems);
      });
  ASSERT_TRUE(source.has_value()) << source.error().message();
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].first.revision, 1U);
  const auto wait_for = [&](size_t count) {
    for (int i = 0; i < 40 && calls.size() < count; ++i)
      loop.run_for(std::chrono::milliseconds(50)), loop.restart();
    return calls.size();
  };

  write("b.yaml", node_text("b") + "---\n[");  // broken: the intent stays
  ASSERT_EQ(wait_for(2), 2U);
  EXPECT_EQ(calls[1].first.revision, 1U);
  EXPECT_EQ(calls[1].second.size(), 1U) << to_string(calls[1].second[0]);

  write("b.yaml", node_text("b"));  // whole now, and at odds with a
  ASSERT_EQ(wait_for(3), 3U);
  EXPECT_EQ(calls[2].first.revision, 2U);
  EXPECT_EQ(calls[2].first.nodes.size(), 2U);
  ASSERT_EQ(calls[2].second.size(), 1U);
  EXPECT_EQ(calls[2].second[0].kind, "Node");

  write("c.yaml", "# nothing new\n");
  loop.run_for(std::chrono::milliseconds(60));
  EXPECT_EQ(calls.size(), 3U);
  source->reset();
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace sluice
