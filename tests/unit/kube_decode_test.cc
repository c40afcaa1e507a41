// SPDX-License-Identifier: Apache-2.0
// What the real API server sent (kube_samples, written by tests/kube/record_samples.py), decoded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/source/kube/decode.h"
#include "operator/source/kube/kinds.h"
#include "tests/unit/kube_fakes.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<Decoded> decode_list(const std::string& sample, const std::string& kind) {
  google::protobuf::Arena arena;
  const auto spec = built_in_kind(kind);
  const auto page = parse_list(Encoding::kProtobuf, kube_sample(sample));
  std::vector<Decoded> all;
  if (!spec || !page) {
    ADD_FAILURE() << sample << ": " << page.error().message();
    return all;
  }
  for (const std::string& item : page->items) all.push_back(spec->decode(kind, item, arena));
  return all;
}

template <class T>
T only(const Decoded& decoded) {
  EXPECT_THAT(decoded.problems, IsEmpty());
  return decoded.object ? std::get<T>(*decoded.object) : T{};
}

Decoded decode(const std::string& kind, const google::protobuf::MessageLite& object) {
  google::protobuf::Arena arena;
  return built_in_kind(kind)->decode(kind, object.SerializeAsString(), arena);
}

std::vector<std::string> texts(const Decoded& decoded) {
  std::vector<std::string> all;
  for (const auto& problem : decoded.problems) all.push_back(to_string(problem));
  return all;
}

TEST(KubeDecode, NodeOfTheRealServerHasItsAddressesAndRanges) {
  const auto all = decode_list("nodes.list", "Node");

  ASSERT_THAT(all, SizeIs(1));
  EXPECT_EQ(only<NodeObject>(all[0]),
            (NodeObject{
                .name = "n1",
                .internal_addresses = {*parse_address("192.0.2.1"), *parse_address("2001:db8::1")},
                .pod_cidrs = {*parse_prefix("10.1.0.0/24"), *parse_prefix("fd00:1::/64")}}));
  EXPECT_FALSE(all[0].head.resource_version.empty());
}

TEST(KubeDecode, NamespaceOfTheRealServerHasItsLabels) {
  for (const Decoded& decoded : decode_list("namespaces.list", "Namespace")) {
    if (decoded.head.key.name != "demo") continue;
    EXPECT_EQ(only<NamespaceObject>(decoded).labels,
              (std::map<std::string, std::string>{
                  {"kubernetes.io/metadata.name", "demo"}, {"team", "a"}, {"zone", ""}}));
    return;
  }
  FAIL() << "no namespace demo";
}

TEST(KubeDecode, PodOfTheRealServerHasAllThatIsUsed) {
  const auto all = decode_list("pods.list", "Pod");

  ASSERT_THAT(all, SizeIs(2));
  PodObject pod = only<PodObject>(all[0]);
  EXPECT_EQ(pod.uid.size(), 36U);
  pod.uid.clear();
  EXPECT_EQ(pod, (PodObject{.namespace_name = "demo",
                            .name = "web-1",
                            .node = "n1",
                            .addresses = {*parse_address("10.1.0.5"), *parse_address("fd00:1::5")},
                            .labels = {{"app", "web"}, {"pod-template-hash", "5d9c"}},
                            .owner_kind = "ReplicaSet",
                            .owner_name = "web-5d9c"}));
  EXPECT_THAT(only<PodObject>(all[1]).addresses, IsEmpty());
}

TEST(KubeDecode, N9_AStaticPodHasTheUidThatKubeletTellsTheRuntime) {
  kube::Pod mirror;
  mirror.mutable_metadata()->set_namespace_("kube-system");
  mirror.mutable_metadata()->set_name("etcd-n1");
  mirror.mutable_metadata()->set_uid("9a1c62c5-5a4b-4d5a-9a0e-2f4f6a1b2c3d");
  (*mirror.mutable_metadata()->mutable_annotations())["kubernetes.io/config.mirror"] = "0f3b";

  EXPECT_EQ(only<PodObject>(decode("Pod", mirror)).uid, "0f3b");
}

TEST(KubeDecode, ServiceOfTheRealServerHasAllThatIsUsed) {
  for (const Decoded& decoded : decode_list("services.list", "Service")) {
    if (decoded.head.key.name != "web") continue;
    EXPECT_EQ(only<ServiceObject>(decoded),
              (ServiceObject{.namespace_name = "demo",
                             .name = "web",
                             .type = "LoadBalancer",
                             .cluster_ips = {*parse_address("10.96.0.80")},
                             .external_ips = {*parse_address("192.0.2.80")},
                             .ingress_ips = {*parse_address("203.0.113.5")},
                             .source_ranges = {*parse_prefix("198.51.100.0/24")},
                             .ports = {{"http", "TCP", 80, 30080}, {"dns", "UDP", 53, 30053}},
                             .external_local = true,
                             .affinity_seconds = 10800,
                             .health_check_node_port = 30081}));
    return;
  }
  FAIL() << "no service web";
}

TEST(KubeDecode, HeadlessServiceHasNoAddress) {
  for (const Decoded& decoded : decode_list("services.list", "Service")) {
    if (decoded.head.key.name != "none") continue;
    EXPECT_THAT(only<ServiceObject>(decoded).cluster_ips, IsEmpty());
    return;
  }
  FAIL() << "no service none";
}

TEST(KubeDecode, JsonOfTheRealServerReadsAsACustomObject) {
  google::protobuf::Arena arena;
  const auto page = parse_list(Encoding::kJson, kube_sample("namespaces.list.json"));

  ASSERT_TRUE(page);
  const auto object = only<CustomObject>(decode_custom("Any", page->items[0], arena));

  EXPECT_EQ(object.kind, "Any");
  EXPECT_EQ(object.name, "default");
  EXPECT_EQ(object.spec, R"({"finalizers":["kubernetes"]})");
}

TEST(KubeDecode, WrongAddressNamesObjectAndField) {
  kube::Pod pod = kube_pod("web", 1);
  pod.mutable_status()->add_podips()->set_ip("10.0.0");
  pod.mutable_status()->add_podips()->set_ip("127.0.0.1");

  const Decoded decoded = decode("Pod", pod);

  EXPECT_FALSE(decoded.object);
  EXPECT_THAT(texts(decoded),
              ElementsAre("Pod demo/web: status.podIPs[0].ip: \"10.0.0\" is not an IP address",
                          HasSubstr("Pod demo/web: status.podIPs[1].ip: \"127.0.0.1\" cannot be")));
}

TEST(KubeDecode, WrongRangeNamesObjectAndField) {
  kube::Node node;
  node.mutable_metadata()->set_name("n1");
  node.mutable_spec()->add_podcidrs("10.0.0.0");

  EXPECT_THAT(texts(decode("Node", node)),
              ElementsAre("Node n1: spec.podCIDRs[0]: \"10.0.0.0\" is not a CIDR: the length is "
                          "missing"));
}

TEST(KubeDecode, WrongPortAndAffinityNameObjectAndField) {
  kube::Service service;
  service.mutable_metadata()->set_name("web");
  service.mutable_metadata()->set_namespace_("demo");
  service.mutable_spec()->add_ports()->set_port(70000);
  service.mutable_spec()->set_sessionaffinity("ClientIP");
  service.mutable_spec()->mutable_sessionaffinityconfig()->mutable_clientip()->set_timeoutseconds(
      -1);

  EXPECT_THAT(texts(decode("Service", service)),
              ElementsAre("Service demo/web: spec.ports[0].port: 70000 is not a port",
                          HasSubstr("spec.sessionAffinityConfig.clientIP.timeoutSeconds: -1")));
}

TEST(KubeDecode, BrokenBytesStillNameTheObject) {
  google::protobuf::Arena arena;
  const std::string bytes = kube_pod("web", 7).SerializeAsString() + "\x12\x7f";

  const Decoded decoded = decode_pod("Pod", bytes, arena);

  EXPECT_FALSE(decoded.object);
  EXPECT_EQ(decoded.head.key, (ObjectKey{"demo", "web"}));
  EXPECT_EQ(decoded.head.resource_version, "7");
  EXPECT_THAT(texts(decoded), ElementsAre("Pod demo/web: does not decode"));
}

TEST(KubeDecode, ObjectWithoutANameIsAProblem) {
  EXPECT_THAT(texts(decode("Pod", kube::Pod())), ElementsAre("Pod: metadata.name: is missing"));
}

TEST(KubeDecode, KindsWithoutARowAreRefused) {
  const auto spec = built_in_kind("Deployment");

  ASSERT_FALSE(spec);
  EXPECT_THAT(spec.error().message(), HasSubstr("\"Deployment\" is none of Node"));
}

}  // namespace
}  // namespace sluice
