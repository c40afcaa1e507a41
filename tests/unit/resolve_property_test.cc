// SPDX-License-Identifier: Apache-2.0
// Whatever order objects came in, and however the changes were split: the intent is that of the
// objects that there are now. Held against a batch that shares no code with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "operator/resolve/resolve.h"
#include "tests/unit/naive_resolve.h"

namespace sluice {
namespace {

// A cluster that changes at random, small enough that nearly everything is at odds with something.
class Cluster {
 public:
  explicit Cluster(uint32_t seed) : random_(seed) {}

  ObjectChange change() {
    const bool removed = pick(4) == 0;
    switch (pick(5)) {
      case 0:
      case 1: {
        const NodeObject object = node("n" + std::to_string(pick(12)));
        removed ? (void)nodes_.erase(object.name) : (void)(nodes_[object.name] = object);
        if (!removed) return {.object = object, .removed = false};
        return {.object = NodeObject{.name = object.name}, .removed = true};
      }
      case 2:
        return {.object = NamespaceObject{.name = "ns" + std::to_string(pick(3))},
                .removed = removed};
      default: {
        const PodObject object =
            pod("ns" + std::to_string(pick(3)), "p" + std::to_string(pick(12)));
        const PodKey key{object.namespace_name, object.name};
        removed ? (void)pods_.erase(key) : (void)(pods_[key] = object);
        if (!removed) return {.object = object, .removed = false};
        return {.object = PodObject{.namespace_name = key.first, .name = key.second},
                .removed = true};
      }
    }
  }
  std::vector<ObjectChange> changes(size_t count) {
    std::vector<ObjectChange> list;
    for (size_t i = 0; i < count; ++i) list.push_back(change());
    return list;
  }
  Objects objects() const {
    Objects all;
    for (const auto& [name, node] : nodes_) all.nodes.push_back(node);
    for (const auto& [key, pod] : pods_) all.pods.push_back(pod);
    return all;
  }
  size_t pick(size_t count) { return std::uniform_int_distribution<size_t>(0, count - 1)(random_); }
  std::mt19937& random() { return random_; }

 private:
  // Ranges of lengths that contain, equal and miss one another, in both families.
  Prefix cidr() {
    const std::string second = std::to_string(pick(3));
    const std::string third = std::to_string(pick(4) * 64);
    switch (pick(7)) {
      case 0:
        return *parse_prefix("10.0.0.0/8");
      case 1:
      case 2:
        return *parse_prefix("10." + second + ".0.0/16");
      case 3:
      case 4:
        return *parse_prefix("10." + second + "." + third + ".0/24");
      case 5:
        return *parse_prefix("10." + second + "." + third + ".128/25");
      default:
        return *parse_prefix("fd0" + second + "::/" + std::to_string(16 + 16 * pick(3)));
    }
  }
  NodeObject node(const std::string& name) {
    NodeObject object{.name = name, .origin = {.file = name, .line = 1, .column = 1}};
    for (size_t i = pick(4); i > 0; --i) {
      object.internal_addresses.push_back(
          *parse_address((pick(3) == 0 ? "2001:db8::" : "192.0.2.") + std::to_string(1 + pick(8))));
    }
    for (size_t i = pick(4); i > 0; --i) object.pod_cidrs.push_back(cidr());
    return object;
  }
  PodObject pod(const std::string& namespace_name, const std::string& name) {
    PodObject object{.namespace_name = namespace_name, .name = name};
    object.node = "n" + std::to_string(pick(3));
    object.host_network = pick(8) == 0;
    object.finished = pick(8) == 0;
    for (size_t i = pick(4); i > 0; --i)
      object.addresses.push_back(*parse_address("10.0.0." + std::to_string(1 + pick(10))));
    if (pick(2) == 0) object.labels["app"] = "a" + std::to_string(pick(2));
    return object;
  }

  std::mt19937 random_;
  std::map<std::string, NodeObject> nodes_;
  std::map<PodKey, PodObject> pods_;
};

// An intent that is built from deltas alone, as agents have it.
class Follower {
 public:
  void take(const IntentDelta& delta) {
    for (const auto& node : delta.nodes) nodes_[node->name] = *node;
    for (const auto& name : delta.removed_nodes) ASSERT_EQ(nodes_.erase(name), 1U) << name;
    for (const auto& pod : delta.pods) pods_[{pod->namespace_name, pod->name}] = *pod;
    for (const auto& key : delta.removed_pods) ASSERT_EQ(pods_.erase(key), 1U) << key.second;
  }
  Intent intent() const {
    Intent all;
    for (const auto& [name, node] : nodes_) all.nodes.push_back(node);
    for (const auto& [key, pod] : pods_) all.pods.push_back(pod);
    return all;
  }

 private:
  std::map<std::string, NodeIntent> nodes_;
  std::map<PodKey, PodIntent> pods_;
};

TEST(Resolver, AfterEveryChangeAgreesWithAFreshBatch) {
  size_t conflicts = 0;
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    Cluster cluster(seed);
    Resolver resolver;
    Follower follower;
    for (int step = 0; step < 120; ++step) {
      const auto changes = cluster.changes(1 + cluster.pick(4));
      follower.take(resolver.apply(changes));
      const Resolution expected = naive_resolve(cluster.objects());
      ASSERT_EQ(resolver.intent(), expected.intent) << "seed " << seed << ", step " << step;
      ASSERT_EQ(resolver.problems(), expected.problems) << "seed " << seed << ", step " << step;
      ASSERT_EQ(follower.intent(), expected.intent) << "seed " << seed << ", step " << step;
      conflicts += expected.problems.size();
    }
  }
  EXPECT_GT(conflicts, 10000U);  // else the cluster is too peaceful to show anything
}

TEST(Resolver, AnySplitIntoIncrementsEndsInTheSame) {
  for (uint32_t seed = 100; seed < 140; ++seed) {
    Cluster cluster(seed);
    const auto changes = cluster.changes(150);
    const Resolution expected = naive_resolve(cluster.objects());

    for (int split = 0; split < 5; ++split) {
      Resolver resolver;
      Follower follower;
      std::span<const ObjectChange> rest = changes;
      while (!rest.empty()) {
        const size_t count = std::min(rest.size(), 1 + cluster.pick(split == 0 ? 150 : 20));
        follower.take(resolver.apply(rest.first(count)));
        rest = rest.subspan(count);
      }
      ASSERT_EQ(resolver.intent(), expected.intent) << "seed " << seed;
      ASSERT_EQ(resolver.problems(), expected.problems) << "seed " << seed;
      ASSERT_EQ(follower.intent(), expected.intent) << "seed " << seed;
    }
  }
}

TEST(Resolver, AnyOrderOfObjectsEndsInTheSame) {
  for (uint32_t seed = 200; seed < 230; ++seed) {
    Cluster cluster(seed);
    (void)cluster.changes(100);
    const Objects objects = cluster.objects();
    const Resolution expected = naive_resolve(objects);
    std::vector<ObjectChange> changes;
    for (const auto& node : objects.nodes) changes.push_back({.object = node, .removed = false});
    for (const auto& pod : objects.pods) changes.push_back({.object = pod, .removed = false});

    for (int order = 0; order < 20; ++order) {
      std::shuffle(changes.begin(), changes.end(), cluster.random());
      Resolver resolver;
      for (const auto& change : changes) (void)resolver.apply({&change, 1});
      ASSERT_EQ(resolver.intent(), expected.intent) << "seed " << seed;
      ASSERT_EQ(resolver.problems(), expected.problems) << "seed " << seed;
    }
  }
}

TEST(Resolver, WhatIsTheSameAgainIsNoChange) {
  Cluster cluster(7);
  Resolver resolver;
  (void)resolver.apply(cluster.changes(100));
  std::vector<ObjectChange> again;
  for (const auto& node : cluster.objects().nodes) {
    again.push_back({.object = NodeObject{.name = node.name}, .removed = true});
    again.push_back({.object = node, .removed = false});
  }
  for (const auto& pod : cluster.objects().pods) again.push_back({.object = pod, .removed = false});

  EXPECT_TRUE(resolver.apply(again).empty());
  EXPECT_TRUE(
      resolver.apply(std::vector{ObjectChange{.object = NodeObject{.name = "x"}, .removed = true}})
          .empty());
}

TEST(Resolver, ALostRangeGoesToTheNextInTheChain) {
  Resolver resolver;
  const auto node = [](const char* name, const char* cidr) {
    return ObjectChange{.object = NodeObject{.name = name, .pod_cidrs = {*parse_prefix(cidr)}},
                        .removed = false};
  };
  (void)resolver.apply(std::vector{node("a", "10.1.7.0/24"), node("b", "10.0.0.0/8"),
                                   node("c", "10.2.0.0/24"), node("d", "10.2.0.0/25")});

  const IntentDelta delta =
      resolver.apply(std::vector{ObjectChange{.object = NodeObject{.name = "a"}, .removed = true}});

  EXPECT_THAT(delta.removed_nodes, testing::ElementsAre("a"));
  ASSERT_EQ(delta.nodes.size(), 2U);  // b has its range, c loses its own; d had none and has none
  EXPECT_EQ(delta.nodes[0]->pod_cidrs.size(), 1U);
  EXPECT_TRUE(delta.nodes[1]->pod_cidrs.empty());
  EXPECT_EQ(resolver.problems().size(), 2U);
  EXPECT_THAT(resolver.problems()[1].what, testing::HasSubstr("10.0.0.0/8 of node b"));
}

}  // namespace
}  // namespace sluice
