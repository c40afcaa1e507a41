// SPDX-License-Identifier: Apache-2.0
// Intent that is brought up to date in place: the same as one made anew.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>

#include "operator/resolve/intent.h"

namespace sluice {
namespace {

NodeIntent node(int number) {
  return {.name = "n" + std::to_string(number), .addresses = {}, .pod_cidrs = {}};
}

PodIntent pod(int number, const std::string& uid) {
  PodIntent pod;
  pod.namespace_name = "ns" + std::to_string(number % 3);
  pod.name = "p" + std::to_string(number);
  pod.uid = uid;
  return pod;
}

TEST(ApplyDelta, AnyChangesLeadToTheSameAsAllAtOnce) {
  std::mt19937 random(3);
  const auto pick = [&](int count) { return static_cast<int>(random() % count); };
  Intent intent;
  std::map<std::string, NodeIntent> nodes;
  std::map<PodKey, PodIntent> pods;
  for (int round = 0; round < 500; ++round) {
    // Few and many at once are done in other ways.
    const int changes = pick(2) == 0 ? pick(4) : pick(60);
    std::map<std::string, std::shared_ptr<const NodeIntent>> changed_nodes;
    std::map<PodKey, std::shared_ptr<const PodIntent>> changed_pods;
    for (int i = 0; i < changes; ++i) {
      const bool gone = pick(2) == 0;
      const NodeIntent a_node = node(pick(40));
      changed_nodes[a_node.name] = gone ? nullptr : std::make_shared<const NodeIntent>(a_node);
      const PodIntent a_pod = pod(pick(200), std::to_string(pick(3)));
      changed_pods[key_of(a_pod)] = gone ? nullptr : std::make_shared<const PodIntent>(a_pod);
    }
    IntentDelta delta;
    delta.revision = static_cast<uint64_t>(round);
    for (const auto& [name, object] : changed_nodes) {
      object ? delta.nodes.push_back(object) : delta.removed_nodes.push_back(name);
      object ? (void)(nodes[name] = *object) : (void)nodes.erase(name);
    }
    for (const auto& [key, object] : changed_pods) {
      object ? delta.pods.push_back(object) : delta.removed_pods.push_back(key);
      object ? (void)(pods[key] = *object) : (void)pods.erase(key);
    }
    Intent expected;
    for (const auto& [name, object] : nodes) expected.nodes.push_back(object);
    for (const auto& [key, object] : pods) expected.pods.push_back(object);

    const Intent before = intent;
    const bool changed = apply(delta, intent);

    ASSERT_EQ(intent, expected) << "round " << round;
    ASSERT_EQ(changed, !(before == expected)) << "round " << round;
    ASSERT_EQ(intent.revision, delta.revision);
  }
}

TEST(ApplyDelta, ObjectThatChangesIsWrittenInItsPlaceAndNoOtherTouched) {
  Intent intent;
  for (int i = 0; i < 9; ++i) intent.pods.push_back(pod(12 + i * 3, "one"));
  const PodIntent* const others = &intent.pods[0];
  IntentDelta delta;
  delta.pods = {std::make_shared<const PodIntent>(pod(12, "two"))};

  EXPECT_TRUE(apply(delta, intent));
  EXPECT_FALSE(apply(delta, intent));

  EXPECT_EQ(&intent.pods[0], others);
  EXPECT_EQ(find_pod(intent, "ns0", "p12")->uid, "two");
  EXPECT_EQ(find_pod(intent, "ns0", "p15")->uid, "one");
  EXPECT_EQ(find_pod(intent, "ns1", "p12"), nullptr);
  EXPECT_EQ(find_node(intent, "n1"), nullptr);
}

}  // namespace
}  // namespace sluice
