// SPDX-License-Identifier: Apache-2.0
// Manifests to objects: what is read, what is reported and where, and what a broken file leaves
// standing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "lib/labels/labels.h"
#include "lib/utf8/utf8.h"
#include "operator/source/manifests/parse.h"
#include "tests/unit/manifest_samples.h"

namespace sluice {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kNode = R"(apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {podCIDRs: [10.1.0.0/24, "fd00:1::/64"]}
status:
  addresses:
    - {type: Hostname, address: n1}
    - {type: InternalIP, address: 192.0.2.1}
    - {type: InternalIP, address: "2001:db8::1"}
)";

TEST(ParseDocuments, TextThatNeverEndsForTheLibraryIsRefused) {
  const ParsedFile parsed = parse_documents("a.yaml", ",");

  EXPECT_EQ(parsed.problems.size(), 1U);
  EXPECT_TRUE(parsed.incomplete);
}

TEST(ParseDocuments, BytesThatAreNoTextAreReportedAsText) {
  const auto named =
      parse_documents("a.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: \"\xff\xfe\"\n");
  EXPECT_THAT(
      texts(named.problems),
      ElementsAre(HasSubstr("a.yaml:4:9: Pod: metadata.name: \"\\xff\\xfe\" is not UTF-8")));
  EXPECT_TRUE(named.incomplete);

  const auto uid = parse_documents("a.yaml", pod_text("web", "") + "spec: {nodeName: \"\xc0\"}\n");
  EXPECT_THAT(texts(uid.problems),
              ElementsAre(HasSubstr("demo/web: spec.nodeName: \"\\xc0\" is not UTF-8")));
  EXPECT_THAT(uid.objects.pods, IsEmpty());

  for (const char* binary : {"\x7f"
                             "ELF\x02\x01\xff\xc0: [",
                             "\x80\x81", "\"\xff", "- \xff\n: ["}) {
    for (const auto& text : texts(parse_documents("b\xff.yaml", binary).problems))
      EXPECT_TRUE(is_utf8(text)) << text;
  }
}

TEST(ParseDocuments, AMergeOfMappingsIsReportedAndItsObjectLeftOut) {
  const auto parsed = parse_documents(
      "a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {<<: {namespace: demo}, name: one}\n---\n" +
                    pod_text("two"));

  EXPECT_THAT(texts(parsed.problems),
              ElementsAre("a.yaml:3:12: Pod default/one: metadata.<<: merging mappings is not "
                          "supported: write the fields out"));
  EXPECT_THAT(names(parsed.objects), ElementsAre("two"));
}

TEST(ParseDocuments, AKeyThatIsGivenTwiceIsReportedAndItsObjectLeftOut) {
  const auto parsed = parse_documents(
      "a.yaml", pod_text("one", "spec:\n  nodeName: n1\n  nodeName: n2\n") + pod_text("two"));

  EXPECT_THAT(texts(parsed.problems),
              ElementsAre("a.yaml:7:3: Pod demo/one: spec.nodeName: is given twice"));
  EXPECT_THAT(names(parsed.objects), ElementsAre("two"));
  EXPECT_FALSE(parsed.incomplete);

  const auto unnamed = parse_documents("a.yaml", "kind: Pod\nkind: Node\n");
  EXPECT_THAT(texts(unnamed.problems), Contains("a.yaml:2:1: kind: is given twice"));
  EXPECT_TRUE(unnamed.incomplete);

  const auto fine = parse_documents(
      "a.yaml",
      pod_text("a", "spec: {containers: [{name: x}, {name: x}]}\n") +
          "---\napiVersion: apps/v1\nkind: Deployment\nspec: {a: 1, a: 2}\n" +
          "---\napiVersion: v1\nkind: List\nitems:\n- &p {apiVersion: v1, kind: Pod, metadata: "
          "{name: b}}\n- {apiVersion: v1, kind: Pod, metadata: {name: c, [1, 1]: 2, ? {x: 1} : "
          "3}}\n");
  EXPECT_THAT(fine.problems, IsEmpty());
  EXPECT_THAT(names(fine.objects), ElementsAre("a", "b", "c"));
}

TEST(ParseDocuments, AKindThatIsWrittenWrongIsReported) {
  struct Row {
    const char* text;
    const char* problem;
  };
  for (const Row& row : {Row{"apiVersion: v1\nkind: pod\n",
                             "a.yaml:2:7: kind: \"pod\" is not a kind; it is written Pod"},
                         Row{"apiVersion: v1beta1\nkind: Pod\n",
                             "a.yaml:1:13: apiVersion: \"v1beta1\" has no Pod: it is of v1"},
                         Row{"apiVersion: apps/v1\nkind: Node\n",
                             "a.yaml:1:13: apiVersion: \"apps/v1\" has no Node: it is of v1"}}) {
    const auto parsed = parse_documents("a.yaml", row.text);
    EXPECT_THAT(texts(parsed.problems), ElementsAre(row.problem));
    EXPECT_TRUE(parsed.incomplete);
  }
  for (const char* other :
       {"apiVersion: management.example.io/v3\nkind: Node\n", "apiVersion: v1\nkind: PodTemplate\n",
        "apiVersion: apps/v1\nkind: Deployment\n"})
    EXPECT_THAT(parse_documents("a.yaml", other).problems, IsEmpty()) << other;
}

TEST(ParseDocuments, AnAbsentMemberIsReportedWhereItsMappingStands) {
  EXPECT_THAT(
      texts(parse_documents("p.yaml", pod_text("a", "status:\n  podIPs:\n  - {}\n")).problems),
      ElementsAre("p.yaml:7:5: Pod demo/a: status.podIPs[0].ip: must be an IP address"));
}

TEST(ParseDocuments, ReadsNodeFields) {
  const auto parsed = parse_documents("n.yaml", kNode);

  ASSERT_THAT(parsed.problems, IsEmpty());
  ASSERT_EQ(parsed.objects.nodes.size(), 1U);
  const NodeObject& node = parsed.objects.nodes[0];
  EXPECT_EQ(node.name, "n1");
  EXPECT_THAT(node.internal_addresses,
              ElementsAre(*parse_address("192.0.2.1"), *parse_address("2001:db8::1")));
  EXPECT_THAT(node.pod_cidrs,
              ElementsAre(*parse_prefix("10.1.0.0/24"), *parse_prefix("fd00:1::/64")));
  EXPECT_EQ(node.origin, (Origin{.file = "n.yaml", .line = 1, .column = 1}));
}

TEST(ParseDocuments, ReadsPodFields) {
  const auto parsed = parse_documents("p.yaml", R"(
apiVersion: v1
kind: Pod
metadata:
  name: web-0
  uid: 1234
  labels: {app: web, "example.com/tier": front, empty: }
  ownerReferences:
    - {kind: Other, name: other}
    - {kind: StatefulSet, name: web, controller: true}
spec: {nodeName: n1, hostNetwork: true, containers: [{name: c}]}
status:
  phase: Succeeded
  podIP: 10.0.0.9
  podIPs: [{ip: 10.0.0.9}, {ip: "fd00::9"}]
)");

  ASSERT_THAT(texts(parsed.problems), IsEmpty());
  ASSERT_EQ(parsed.objects.pods.size(), 1U);
  const PodObject& pod = parsed.objects.pods[0];
  EXPECT_EQ(pod.namespace_name, "default");
  EXPECT_EQ(pod.uid, "1234");
  EXPECT_EQ(pod.labels, (std::map<std::string, std::string>{
                            {"app", "web"}, {"example.com/tier", "front"}, {"empty", ""}}));
  EXPECT_EQ(pod.owner_kind, "StatefulSet");
  EXPECT_EQ(pod.owner_name, "web");
  EXPECT_EQ(pod.node, "n1");
  EXPECT_TRUE(pod.host_network);
  EXPECT_TRUE(pod.finished);
  EXPECT_THAT(pod.addresses, ElementsAre(*parse_address("10.0.0.9"), *parse_address("fd00::9")));
}

TEST(ParseDocuments, ReadsManyDocumentsListsAndJson) {
  const auto yaml = parse_documents(
      "a.yaml", std::string("---\n---\n") + pod_text("a") + pod_text("b") + "---\n" +
                    "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n"
                    "  metadata: {name: c}\n-\n");
  const auto json = parse_documents("a.json",
                                    "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": "
                                    "\"Namespace\",\n\t\"metadata\": {\"name\": \"demo\"}\n}\n");

  EXPECT_THAT(texts(yaml.problems), IsEmpty());
  EXPECT_THAT(names(yaml.objects), ElementsAre("a", "b", "c"));
  EXPECT_THAT(texts(json.problems), IsEmpty());
  ASSERT_EQ(json.objects.namespaces.size(), 1U);
  EXPECT_EQ(json.objects.namespaces[0].name, "demo");
}

TEST(ParseDocuments, CountsKindsThatAreNotRead) {
  const auto parsed = parse_documents(
      "a.yaml",
      "apiVersion: apps/v1\nkind: Deployment\n---\napiVersion: x.io/v1\nkind: Node\n"
      "---\napiVersion: apps/v1\nkind: Deployment\n"
      "---\napiVersion: x.io/v1\nkind: List\nitems: [{apiVersion: v1, kind: Node, metadata: {name: "
      "n}}]\n");

  EXPECT_THAT(parsed.problems, IsEmpty());
  EXPECT_THAT(parsed.objects.nodes, IsEmpty());
  EXPECT_EQ(parsed.ignored_kinds,
            (std::map<std::string, uint32_t>{
                {"apps/v1 Deployment", 2}, {"x.io/v1 List", 1}, {"x.io/v1 Node", 1}}));
}

TEST(ParseDocuments, SyntaxErrorNamesLineAndColumn) {
  const auto parsed = parse_documents("a.yaml", pod_text("a") + "---\nkind: [Pod\nother: }\n");

  EXPECT_TRUE(parsed.incomplete);
  EXPECT_THAT(parsed.objects.pods, IsEmpty());
  ASSERT_EQ(parsed.problems.size(), 1U);
  EXPECT_EQ(parsed.problems[0].origin.line, 7U);
  EXPECT_GT(parsed.problems[0].origin.column, 0U);
  EXPECT_THAT(to_string(parsed.problems[0]), HasSubstr("a.yaml:7:"));
}

struct BadField {
  const char* what;
  const char* text;
  const char* expected;  // of to_string, as a substring
};

class BadFields : public testing::TestWithParam<BadField> {};

TEST_P(BadFields, NameFileLineObjectAndField) {
  const auto parsed = parse_documents("a.yaml", GetParam().text);

  ASSERT_EQ(parsed.problems.size(), 1U) << testing::PrintToString(texts(parsed.problems));
  EXPECT_THAT(to_string(parsed.problems[0]), HasSubstr(GetParam().expected));
  EXPECT_THAT(parsed.objects.nodes, IsEmpty());
  EXPECT_THAT(parsed.objects.pods, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Manifests, BadFields,
    testing::Values(
        BadField{"CidrIsText",
                 "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec:\n  podCIDR: ten\n",
                 "a.yaml:5:12: Node n: spec.podCIDR: \"ten\" is not a CIDR"},
        BadField{"CidrWithoutLength",
                 "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec: {podCIDRs: [10.0.0.0/24, "
                 "10.1.0.0]}",
                 "a.yaml:4:32: Node n: spec.podCIDRs[1]: \"10.1.0.0\" is not a CIDR: the length is "
                 "missing"},
        BadField{"CidrWithHostBits",
                 "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec: {podCIDRs: [10.0.0.1/24]}",
                 "host bits"},
        BadField{"CidrIsEverything",
                 "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec: {podCIDRs: [0.0.0.0/0]}",
                 "every address"},
        BadField{
            "CidrIsLoopback",
            "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec: {podCIDRs: [127.1.0.0/16]}",
            "overlaps 127.0.0.0/8"},
        BadField{"CidrsDisagree",
                 "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec: {podCIDR: 10.0.0.0/24, "
                 "podCIDRs: [10.1.0.0/24]}",
                 "spec.podCIDR: \"10.0.0.0/24\" is not spec.podCIDRs[0], which is 10.1.0.0/24"},
        BadField{"CidrsNoList",
                 "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec: {podCIDRs: 10.1.0.0/24}",
                 "spec.podCIDRs: must be a list"},
        BadField{"NodeAddress",
                 "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: {addresses: [{type: "
                 "InternalIP, address: 10.0.0}]}",
                 "Node n: status.addresses[0].address: \"10.0.0\" is not an IP address"},
        BadField{"NodeAddressMissing",
                 "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: {addresses: [{type: "
                 "InternalIP}]}",
                 "status.addresses[0].address: must be an IP address"},
        BadField{"NodeAddressLoopback",
                 "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: {addresses: [{type: "
                 "InternalIP, address: 127.0.0.1}]}",
                 "cannot be the address of a node or a pod: it is in 127.0.0.0/8"},
        BadField{"NodeAddressNoMapping",
                 "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: {addresses: [10.0.0.1]}",
                 "status.addresses[0]: must be a mapping"},
        BadField{"SpecNoMapping", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: text\n",
                 "a.yaml:4:7: Pod default/p: spec: must be a mapping"},
        BadField{"PodAddress",
                 "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nstatus: {podIPs: [{ip: x}]}",
                 "Pod default/p: status.podIPs[0].ip"},
        BadField{"PodAddressNoMapping",
                 "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nstatus: {podIPs: [10.0.0.1]}",
                 "status.podIPs[0].ip"},
        BadField{"HostNetwork",
                 "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {hostNetwork: maybe}",
                 "spec.hostNetwork: must be true or false"},
        BadField{"LabelValue",
                 "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: \"a;b=c\"}}",
                 "metadata.labels.app: \"a;b=c\" is not a label value"},
        BadField{"LabelKey", "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {\"a=b\": c}}",
                 "\"a=b\" is not a label key"},
        BadField{"LabelIsList",
                 "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: [a]}}",
                 "metadata.labels.app: must be a string"},
        BadField{"NoName", "apiVersion: v1\nkind: Pod\nmetadata: {namespace: demo}\n",
                 "a.yaml:3:11: Pod: metadata.name: is missing"},
        BadField{"NoMetadata", "apiVersion: v1\nkind: Pod\n",
                 "a.yaml:1:1: Pod: metadata.name: is missing"},
        BadField{"NameSyntax", "apiVersion: v1\nkind: Pod\nmetadata: {name: A_b}\n",
                 "metadata.name: \"A_b\" is not a DNS name"},
        BadField{"NamespaceSyntax",
                 "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: a.b}\n",
                 "metadata.namespace: \"a.b\""},
        BadField{"NoKind", "apiVersion: v1\nmetadata: {name: p}\n", "a.yaml:1:1: kind: is missing"},
        BadField{"NoApiVersion", "kind: Pod\nmetadata: {name: p}\n", "apiVersion: is missing"},
        BadField{"Scalar", "just text\n", "must be one Kubernetes object"},
        BadField{
            "ListOfList",
            "apiVersion: v1\nkind: List\nitems: &a [{apiVersion: v1, kind: List, items: *a}]\n",
            "a List inside a List"}),
    [](const auto& row) { return row.param.what; });

TEST(ParseDocuments, ObjectTwiceInOneFileKeepsTheFirst) {
  const auto parsed = parse_documents("a.yaml", pod_text("a", "spec: {nodeName: one}\n") +
                                                    pod_text("a", "spec: {nodeName: two}\n"));

  ASSERT_EQ(parsed.objects.pods.size(), 1U);
  EXPECT_EQ(parsed.objects.pods[0].node, "one");
  ASSERT_EQ(parsed.problems.size(), 1U);
  EXPECT_THAT(to_string(parsed.problems[0]),
              HasSubstr("a.yaml:7:1: Pod demo/a: is defined twice: the one in line 2"));
}

TEST(Labels, SyntaxIsThatOfKubernetes) {
  EXPECT_TRUE(is_dns_label("a-1"));
  EXPECT_FALSE(is_dns_label("-a"));
  EXPECT_FALSE(is_dns_label("a."));
  EXPECT_FALSE(is_dns_label(std::string(64, 'a')));
  EXPECT_TRUE(is_dns_subdomain("a.b-c.d"));
  EXPECT_FALSE(is_dns_subdomain("a..b"));
  EXPECT_FALSE(is_dns_subdomain(""));
  EXPECT_TRUE(is_label_key("example.com/App_1"));
  EXPECT_FALSE(is_label_key("Example.com/app"));
  EXPECT_FALSE(is_label_key("a/b/c"));
  EXPECT_FALSE(is_label_key("a=b"));
  EXPECT_TRUE(is_label_value(""));
  EXPECT_FALSE(is_label_value("a;b"));
  EXPECT_FALSE(is_label_value(std::string(64, 'a')));
}

}  // namespace
}  // namespace sluice
