// SPDX-License-Identifier: Apache-2.0
// What is kept of objects: packed and whole again, changes told from what is the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/source/kube/store.h"

namespace sluice {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

PodObject pod(const std::string& name) {
  return {.namespace_name = "demo",
          .name = name,
          .uid = "9a1c62c5-5a4b-4d5a-9a0e-2f4f6a1b2c3d",
          .node = "n1",
          .addresses = {*parse_address("10.1.0.5"), *parse_address("fd00::5")},
          .labels = {{"app", "web"}, {"empty", ""}},
          .owner_kind = "ReplicaSet",
          .owner_name = "web-1"};
}

std::vector<SourceObject> all_of(const KindStore& store) {
  std::vector<SourceObject> all;
  store.for_each([&](SourceObject object) { all.push_back(std::move(object)); });
  return all;
}

class KubeStore : public testing::Test {
 protected:
  StorePools pools;
  TypedStore<PodObject> pods{pools};
};

TEST_F(KubeStore, PodComesOutAsItWentIn) {
  PodObject finished = pod("web");
  finished.finished = finished.host_network = true;
  pods.put(finished, 1);

  EXPECT_THAT(all_of(pods), testing::ElementsAre(SourceObject(finished)));
}

TEST_F(KubeStore, UidThatIsNoUuidComesOutAsItWentIn) {
  for (const char* uid :
       {"", "x", "9A1C62C5-5A4B-4D5A-9A0E-2F4F6A1B2C3D", "00000000-0000-0000-0000-000000000000"}) {
    TypedStore<PodObject> store(pools);
    PodObject object = pod("web");
    object.uid = uid;
    store.put(object, 1);
    EXPECT_THAT(all_of(store), testing::ElementsAre(SourceObject(object))) << uid;
  }
}

TEST_F(KubeStore, ServiceComesOutAsItWentIn) {
  TypedStore<ServiceObject> services(pools);
  const ServiceObject service{.namespace_name = "demo",
                              .name = "web",
                              .type = "LoadBalancer",
                              .cluster_ips = {*parse_address("10.96.0.1")},
                              .external_ips = {*parse_address("192.0.2.1")},
                              .ingress_ips = {*parse_address("192.0.2.2")},
                              .source_ranges = {*parse_prefix("198.51.100.0/24")},
                              .ports = {{"http", "TCP", 80, 30080}, {"", "UDP", 53, 0}},
                              .external_local = true,
                              .internal_local = true,
                              .affinity_seconds = 60,
                              .health_check_node_port = 30081};
  services.put(service, 1);

  EXPECT_THAT(all_of(services), testing::ElementsAre(SourceObject(service)));
  EXPECT_FALSE(services.put(service, 2));
  ServiceObject other = service;
  other.external_ips.clear();
  EXPECT_TRUE(services.put(other, 2));
}

TEST_F(KubeStore, WhatIsTheSameIsNoChange) {
  EXPECT_TRUE(pods.put(pod("web"), 1));
  EXPECT_FALSE(pods.put(pod("web"), 2));
  EXPECT_THAT(all_of(pods), SizeIs(1));
}

TEST_F(KubeStore, EachFieldThatIsUsedMakesAChange) {
  const std::vector<std::function<void(PodObject&)>> edits = {
      [](PodObject& p) { p.uid = "other"; },        [](PodObject& p) { p.node = "n2"; },
      [](PodObject& p) { p.host_network = true; },  [](PodObject& p) { p.finished = true; },
      [](PodObject& p) { p.addresses.pop_back(); }, [](PodObject& p) { p.labels["app"] = "db"; },
      [](PodObject& p) { p.owner_kind = "Job"; },   [](PodObject& p) { p.owner_name = "x"; },
  };
  for (size_t i = 0; i < edits.size(); ++i) {
    TypedStore<PodObject> store(pools);
    store.put(pod("web"), 1);
    PodObject edited = pod("web");
    edits[i](edited);
    EXPECT_TRUE(store.put(edited, 1)) << "edit " << i;
  }
}

TEST_F(KubeStore, EndOfARoundRemovesWhatItDidNotName) {
  pods.put(pod("a"), 1);
  pods.put(pod("b"), 1);
  pods.put(pod("c"), 1);
  pods.put(pod("a"), 2);
  pods.keep({"demo", "b"}, 2);

  const auto gone = pods.erase_older(2);

  ASSERT_THAT(gone, SizeIs(1));
  EXPECT_TRUE(gone[0].removed);
  EXPECT_EQ(std::get<PodObject>(gone[0].object),
            (PodObject{.namespace_name = "demo", .name = "c"}));
  EXPECT_EQ(pods.size(), 2U);
}

TEST_F(KubeStore, RemovalOfACustomObjectNamesItsKind) {
  TypedStore<CustomObject> pools_of_addresses(pools);
  pools_of_addresses.put(CustomObject{.kind = "IPPool", .name = "a", .spec = "{}"}, 1);

  const auto gone = pools_of_addresses.erase({"", "a"});

  ASSERT_THAT(gone, SizeIs(1));
  EXPECT_EQ(std::get<CustomObject>(gone[0].object), (CustomObject{.kind = "IPPool", .name = "a"}));
  EXPECT_THAT(pools_of_addresses.erase({"", "a"}), IsEmpty());
}

TEST_F(KubeStore, RepeatedTextsAreKeptOnceAndGoWithTheLastPod) {
  for (int i = 0; i < 100; ++i) pods.put(pod("web-" + std::to_string(i)), 1);
  EXPECT_EQ(pools.labels.size(), 1U);
  EXPECT_EQ(pools.texts.size(), 8U);  // demo n1 ReplicaSet web-1 app web empty ""

  pods.erase_older(2);

  EXPECT_EQ(pools.labels.size(), 0U);
  EXPECT_EQ(pools.texts.size(), 0U);
}

}  // namespace
}  // namespace sluice
