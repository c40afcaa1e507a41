// SPDX-License-Identifier: Apache-2.0
// What each agent is given, without a stream: its span and no more, the newest of what it lacks,
// and a bound for what is kept for the slow.
#include "operator/stream/spans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "control/v1/control.pb.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr size_t kMuch = 1 << 20;

std::shared_ptr<const NodeIntent> node(const std::string& name, const std::string& address = "") {
  NodeIntent intent{.name = name};
  if (!address.empty()) intent.addresses.push_back(*parse_address(address));
  return std::make_shared<const NodeIntent>(intent);
}

std::shared_ptr<const PodIntent> pod(const std::string& name, const std::string& on,
                                     const std::string& label = "x") {
  PodIntent intent{.namespace_name = "demo", .name = name, .node = on};
  intent.labels["app"] = label;
  return std::make_shared<const PodIntent>(intent);
}

// What an agent makes of records: "n1", "web=x", and "-web" for what is gone.
std::vector<std::string> words(const std::vector<grpc::Slice>& records) {
  std::string bytes;
  for (const auto& record : records)
    bytes.append(reinterpret_cast<const char*>(record.begin()), record.size());
  control::v1::OperatorMessage message;
  EXPECT_TRUE(message.ParseFromString(bytes));
  std::vector<std::string> list;
  for (const auto& change : message.changes()) {
    std::string word = change.removed() ? "-" : "";
    word += change.has_node() ? change.node().name() : change.pod().name();
    if (change.has_pod() && !change.removed()) word += "=" + change.pod().labels(0).value();
    list.push_back(word);
  }
  return list;
}

Digest digest_of(const std::vector<NodeIntent>& nodes, const std::vector<PodIntent>& pods) {
  Digest digest;
  for (const auto& each : nodes) digest.add(encode(each).bucket, encode(each).hash);
  for (const auto& each : pods) digest.add(encode(each).bucket, encode(each).hash);
  return digest;
}

TEST(Spans, OpenGivesAllNodesAndTheNodesOwnPods) {
  Spans spans;
  spans.publish({.nodes = {node("n1"), node("n2")},
                 .pods = {pod("a", "n1"), pod("b", "n2"), pod("pending", "")}});
  spans.attach("n1");

  const auto opening = spans.open("n1", std::nullopt);

  EXPECT_THAT(words(opening.records), testing::UnorderedElementsAre("n1", "n2", "a=x"));
  EXPECT_TRUE(opening.buckets.all());
  EXPECT_TRUE(spans.read("n1", opening.revision, kMuch).reached);
  EXPECT_THAT(spans.read("n1", opening.revision, kMuch).records, IsEmpty());
}

TEST(Spans, WhoHoldsAllIsGivenNothingAndElseOnlyBucketsThatDiffer) {
  Spans spans;
  IntentDelta all;
  std::vector<NodeIntent> nodes;
  for (int i = 0; i < 600; ++i) {
    all.nodes.push_back(node("n" + std::to_string(i), "192.0.2.1"));
    nodes.push_back(*all.nodes.back());
  }
  all.pods = {pod("a", "n1"), pod("b", "n2")};
  spans.publish(all);
  spans.attach("n1");

  EXPECT_TRUE(spans.open("n1", digest_of(nodes, {*all.pods[0]})).buckets.none());
  EXPECT_THAT(spans.open("n1", digest_of(nodes, {*all.pods[0]})).records, IsEmpty());

  nodes[7].addresses.clear();
  const auto opening = spans.open("n1", digest_of(nodes, {*all.pods[0]}));
  EXPECT_EQ(opening.buckets.count(), 1U);
  EXPECT_THAT(words(opening.records), testing::Contains("n7"));
  EXPECT_LT(words(opening.records).size(), 20U);
}

TEST(Spans, ReadGivesTheNewestOfEachObjectOnce) {
  Spans spans;
  spans.attach("n1");
  const uint64_t start = spans.open("n1", std::nullopt).revision;
  for (const char* label : {"1", "2", "3"}) spans.publish({.pods = {pod("a", "n1", label)}});
  spans.publish({.pods = {pod("gone", "n1")}});
  const auto published = spans.publish({.removed_pods = {{"demo", "gone"}}});
  spans.publish({.nodes = {node("n2")}});

  const auto batch = spans.read("n1", start, kMuch);

  EXPECT_THAT(words(batch.records), ElementsAre("a=3", "-gone", "n2"));
  EXPECT_TRUE(batch.reached);
  EXPECT_THAT(published.nodes, ElementsAre("n1"));
  EXPECT_FALSE(published.all);
  EXPECT_EQ(spans.pending("n1", start), 3U);
  EXPECT_EQ(spans.pending("n1", batch.cursor), 0U);
}

TEST(Spans, ReadGoesOnWhereASmallBatchEnded) {
  Spans spans;
  spans.attach("n1");
  for (int i = 0; i < 9; ++i) {
    spans.publish(
        {.nodes = {node("n" + std::to_string(i))}, .pods = {pod("p" + std::to_string(i), "n1")}});
  }

  std::vector<std::string> all;
  uint64_t cursor = 0;
  for (bool reached = false; !reached;) {
    const auto batch = spans.read("n1", cursor, 1);
    ASSERT_EQ(batch.records.size(), 1U);
    all.push_back(words(batch.records)[0]);
    cursor = batch.cursor;
    reached = batch.reached;
  }

  EXPECT_EQ(all.size(), 18U);
  EXPECT_EQ(all[0] + all[1] + all[17], "n0p0=xp8=x");
}

TEST(Spans, APodThatMovesLeavesOneSpanAndEntersAnother) {
  Spans spans;
  spans.attach("n1");
  spans.attach("n2");
  spans.publish({.pods = {pod("a", "n1")}});
  const uint64_t before = spans.figures().revision;

  const auto published = spans.publish({.pods = {pod("a", "n2")}});

  EXPECT_THAT(words(spans.read("n1", before, kMuch).records), ElementsAre("-a"));
  EXPECT_THAT(words(spans.read("n2", before, kMuch).records), ElementsAre("a=x"));
  EXPECT_THAT(published.nodes, ElementsAre("n1", "n2"));
  // Who has read all is at the newest revision, also where the last change was not its own.
  EXPECT_EQ(spans.read("n1", before, kMuch).cursor, published.revision);
}

TEST(Spans, APodThatLosesItsNodeLeaves) {
  Spans spans;
  spans.attach("n1");
  spans.publish({.pods = {pod("a", "n1")}});
  const uint64_t before = spans.figures().revision;

  spans.publish({.pods = {pod("a", "")}});

  EXPECT_THAT(words(spans.read("n1", before, kMuch).records), ElementsAre("-a"));
}

TEST(Spans, RemovalsAreForgottenOnceTheReaderHasThem) {
  Spans spans;
  spans.attach("n1");
  uint64_t cursor = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "p" + std::to_string(i);
    spans.publish({.pods = {pod(name, "n1")}});
    spans.publish({.removed_pods = {{"demo", name}}});
    const auto batch = spans.read("n1", cursor, kMuch);
    ASSERT_EQ(words(batch.records).back(), "-" + name);
    cursor = batch.cursor;
    ASSERT_LE(spans.figures().removals, 2U);
  }
}

TEST(Spans, AReaderThatStandsStillCostsABoundedNumberOfRemovalsAndStartsAnew) {
  Spans spans;
  spans.attach("n1");
  const uint64_t cursor = spans.open("n1", std::nullopt).revision;
  spans.publish({.pods = {pod("stays", "n1")}});
  for (int i = 0; i < 10000; ++i) {
    const std::string name = "p" + std::to_string(i);
    spans.publish({.pods = {pod(name, "n1")}});
    spans.publish({.removed_pods = {{"demo", name}}});
    ASSERT_LE(spans.figures().removals, 256U);
  }

  EXPECT_TRUE(spans.read("n1", cursor, kMuch).lost);
  EXPECT_THAT(words(spans.open("n1", std::nullopt).records), ElementsAre("stays=x"));
}

TEST(Spans, WithoutAReaderNothingIsKept) {
  Spans spans;
  spans.attach("n1");
  spans.publish({.nodes = {node("n1")}, .pods = {pod("a", "n1")}});
  spans.publish({.removed_nodes = {"n1"}, .removed_pods = {{"demo", "a"}}});
  EXPECT_EQ(spans.figures().removals, 2U);

  spans.detach("n1");

  EXPECT_EQ(spans.figures().removals, 0U);
  EXPECT_EQ(spans.figures().objects, 0U);
  EXPECT_EQ(spans.figures().bytes, 0U);
}

// Any history of a span, read in any steps, ends in what opening it anew gives.
TEST(Spans, FollowersOfAnyHistoryHoldWhatAFreshOneIsGiven) {
  for (uint32_t seed = 1; seed <= 30; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](size_t count) {
      return std::uniform_int_distribution<size_t>(0, count - 1)(random);
    };
    Spans spans;
    spans.attach("n1");
    std::map<std::string, std::string> held;
    const auto take = [&](const std::vector<grpc::Slice>& records) {
      for (const auto& word : words(records)) {
        const std::string name = word.substr(word[0] == '-' ? 1 : 0, word.find('='));
        word[0] == '-' ? (void)held.erase(name) : (void)(held[name] = word);
      }
    };
    uint64_t cursor = spans.open("n1", std::nullopt).revision;
    for (int step = 0; step < 300; ++step) {
      const std::string name = "p" + std::to_string(pick(8));
      if (pick(3) == 0) {
        spans.publish({.removed_pods = {{"demo", name}}});
      } else {
        spans.publish({.pods = {pod(name, "n" + std::to_string(pick(3)), std::to_string(step))}});
      }
      if (pick(10) == 0) {
        const auto batch = spans.read("n1", cursor, 1 + pick(200));
        take(batch.records);
        cursor = batch.cursor;
      }
    }
    take(spans.read("n1", cursor, kMuch).records);

    const auto followed = std::exchange(held, {});
    take(spans.open("n1", std::nullopt).records);
    ASSERT_EQ(followed, held) << "seed " << seed;
  }
}

TEST(Codec, ReadsWhatItWrote) {
  NodeIntent node_intent{.name = "n1",
                         .addresses = {*parse_address("192.0.2.1"), *parse_address("fd00::1")},
                         .pod_cidrs = {*parse_prefix("10.1.0.0/24"), *parse_prefix("fd01::/64")}};
  PodIntent pod_intent{.namespace_name = "demo",
                       .name = "web",
                       .uid = "u",
                       .node = "n1",
                       .host_network = true,
                       .addresses = {*parse_address("10.1.0.5")},
                       .labels = {{"a", "b"}, {"c", ""}},
                       .identity = "namespace=demo",
                       .workload_kind = "Deployment",
                       .workload_name = "web"};
  control::v1::OperatorMessage message;
  ASSERT_TRUE(message.ParseFromString(encode(node_intent).bytes + encode(pod_intent).bytes));

  EXPECT_EQ(*decode(message.changes(0).node()), node_intent);
  EXPECT_EQ(*decode(message.changes(1).pod()), pod_intent);
}

TEST(Codec, NamesObjectAndFieldOfWhatIsWrong) {
  control::v1::Node node;
  node.set_name("n1");
  node.add_addresses("short");
  EXPECT_EQ(decode(node).error().message(), "Node n1: addresses[0]: 5 bytes, an address has 16");
  node.clear_addresses();
  node.add_pod_cidrs()->set_address(std::string(16, '\1'));
  node.mutable_pod_cidrs(0)->set_length(129);
  EXPECT_EQ(decode(node).error().message(),
            "Node n1: pod_cidrs[0]: length 129, allowed are 0 to 128");
  node.mutable_pod_cidrs(0)->set_length(64);
  EXPECT_THAT(decode(node).error().message(), testing::HasSubstr("has host bits"));
  control::v1::Pod pod;
  pod.set_name("web");
  EXPECT_EQ(decode(pod).error().message(), "Pod /web: namespace_name: empty");
}

TEST(Digest, IsTheSameInAnyOrderAndAfterRemoving) {
  const Record a = encode(*node("a"));
  const Record b = encode(*node("b"));
  Digest one;
  one.add(a.bucket, a.hash);
  one.add(b.bucket, b.hash);
  Digest two;
  two.add(b.bucket, b.hash);
  two.add(a.bucket, a.hash);

  EXPECT_EQ(one, two);
  EXPECT_EQ(Digest::parse(one.bytes()), one);
  two.remove(a.bucket, a.hash);
  EXPECT_EQ(one.difference(two).count(), 1U);
  EXPECT_TRUE(one.difference(two)[a.bucket]);
  EXPECT_EQ(parse_buckets(bucket_bytes(one.difference(two))), one.difference(two));
  EXPECT_FALSE(Digest::parse("x"));
  EXPECT_FALSE(parse_buckets("x"));
}

}  // namespace
}  // namespace sluice
