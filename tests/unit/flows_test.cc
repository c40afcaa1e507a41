// SPDX-License-Identifier: Apache-2.0
// The flow log under one writer and many readers, and its gRPC service with a real client over a
// unix socket.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <thread>

#include "agent/flows/convert.h"
#include "agent/flows/flow_log.h"
#include "agent/flows/query.h"
#include "hubble/observer/observer.pb.h"
#include "tests/unit/flow_samples.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

uint16_t number_of(const EnrichedFlow& flow) {
  return ntohs(flow.event.sport_be);
}

std::vector<int> numbers(const std::vector<FlowEntry>& entries) {
  std::vector<int> result;
  for (const FlowEntry& entry : entries) result.push_back(entry.flow ? number_of(*entry.flow) : -1);
  return result;
}

observer::GetFlowsRequest request_of(const std::string& text) {
  observer::GetFlowsRequest request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return request;
}

TEST(FlowLog, KeepsTheLastOnesAndTellsAReaderWhatItMissed) {
  FlowLog log(3);
  for (uint16_t i = 1; i <= 5; ++i) log.add(numbered(i));

  const FlowBatch batch = log.read(0, 100);

  EXPECT_THAT(numbers(batch.entries), ElementsAre(3, 4, 5));
  EXPECT_EQ(batch.skipped, 2U);
  EXPECT_EQ(batch.next, 5U);
  EXPECT_EQ(log.oldest(), 2U);
  EXPECT_EQ(log.stats().stored, 3U);
  EXPECT_EQ(log.stats().seen, 5U);
}

TEST(FlowLog, ReadsInPartsAndPastTheEnd) {
  FlowLog log(8);
  for (uint16_t i = 1; i <= 5; ++i) log.add(numbered(i));
  const FlowBatch first = log.read(0, 2);
  EXPECT_THAT(numbers(first.entries), ElementsAre(1, 2));
  EXPECT_THAT(numbers(log.read(first.next, 2).entries), ElementsAre(3, 4));
  EXPECT_THAT(log.read(99, 2).entries, SizeIs(0));
}

TEST(FlowLog, CountsTheRateOverTheLastMinute) {
  int64_t now = 1'000'000'000'000;
  FlowLog log(4, [&] { return now; });
  for (int i = 0; i < 120; ++i) log.add(numbered(1));
  now += 30'000'000'000;
  EXPECT_DOUBLE_EQ(log.stats().per_second, 4.0);
  now += 40'000'000'000;
  EXPECT_DOUBLE_EQ(log.stats().per_second, 0.0);
}

TEST(FlowLog, ForgetsNamespacesAfterAnHour) {
  int64_t now = 1'000'000'000'000;
  FlowLog log(4, [&] { return now; });
  log.add(sample_flow());
  EXPECT_THAT(log.namespaces(), ElementsAre("demo", "shop"));
  now += 3'601'000'000'000;
  EXPECT_THAT(log.namespaces(), SizeIs(0));
}

TEST(FlowLog, KeepsManyNamespacesThatAreFresh) {
  FlowLog log(4);
  for (int i = 0; i < 5000; ++i) {
    EnrichedFlow flow = sample_flow();
    flow.source = sample_pod("ns" + std::to_string(i), "p-0", 1, {});
    log.add(std::move(flow));
  }
  EXPECT_THAT(log.namespaces(), SizeIs(5001));
}

TEST(FlowLog, AWaiterWakesForAFlowForTimeAndForStop) {
  FlowLog log(4);
  std::stop_source stop;
  EXPECT_FALSE(log.wait(0, std::chrono::milliseconds(1), stop.get_token()));
  {
    std::jthread writer([&] { log.add(numbered(1)); });
    EXPECT_TRUE(log.wait(0, std::chrono::seconds(10), stop.get_token()));
  }
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_FALSE(log.wait(1, std::chrono::seconds(10), stop.get_token()));
}

TEST(FlowLog, ReadersSeeEveryFlowOnceOrCountItAsMissed) {
  constexpr uint64_t kFlows = 20000;
  FlowLog log(64);
  std::vector<std::jthread> readers;
  std::array<uint64_t, 3> accounted{};
  for (uint64_t& count : accounted) {
    readers.emplace_back([&log, &count](const std::stop_token& stop) {
      for (uint64_t at = 0; at < kFlows;) {
        if (!log.wait(at, std::chrono::seconds(10), stop)) return;
        const FlowBatch batch = log.read(at, 16);
        count += batch.skipped + batch.entries.size();
        at = batch.next;
      }
    });
  }
  for (uint64_t i = 0; i < kFlows; ++i) log.add(numbered(1));
  for (std::jthread& reader : readers) reader.join();
  for (const uint64_t count : accounted) EXPECT_EQ(count, kFlows);
}

TEST(FlowQuery, SelectsThePastAsHubbleDoes) {
  FlowLog log(100);
  for (uint16_t i = 1; i <= 6; ++i) {
    log.add(numbered(i));
    if (i == 4) log.add_lost(9);
  }
  struct Row {
    const char* request;
    std::vector<int> numbers;  // -1: a loss
  };
  const Row rows[] = {
      {"", {1, 2, 3, 4, -1, 5, 6}},
      {"number: 2", {5, 6}},
      {"number: 3", {4, -1, 5, 6}},
      {"number: 100", {1, 2, 3, 4, -1, 5, 6}},
      {"number: 2 first: true", {1, 2}},
      {"number: 2 whitelist { source_port: '1' source_port: '2' source_port: '3' }", {2, 3, -1}},
      {"since { seconds: 5 }", {-1, 5, 6}},
      {"since { seconds: 2 } number: 2", {2, 3}},
      {"until { seconds: 2 }", {1, 2, -1}},
      {"until { seconds: 3 } number: 1", {3, -1}},
      {"since { seconds: 2 } until { seconds: 3 }", {2, 3, -1}},
      {"follow: true", {}},
      {"follow: true number: 1", {6}},
      {"follow: true since { seconds: 6 }", {-1, 6}},
      {"follow: true since { seconds: 5 } number: 1", {-1, 5, 6}},
  };
  for (const Row& row : rows) {
    const auto query = compile_query(request_of(row.request), "node-a");
    ASSERT_TRUE(query) << row.request;
    const FlowSelection selection = select_past(log, *query);
    EXPECT_EQ(numbers(selection.entries), row.numbers) << row.request;
    EXPECT_EQ(selection.next, 7U) << row.request;
  }
}

TEST(FlowQuery, NamesWhatItRefuses) {
  struct Row {
    const char* request;
    const char* field;
  };
  const Row rows[] = {
      {"first: true follow: true", "first"},
      {"since { nanos: -1 }", "since"},
      {"until { seconds: 9223372036854775807 }", "until"},
      {"whitelist { dns_query: 'x' }", "whitelist[0].dns_query"},
      {"extensions { type_url: 'type.googleapis.com/other.Type' }", "extensions"},
  };
  for (const Row& row : rows) {
    const auto query = compile_query(request_of(row.request), "node-a");
    ASSERT_FALSE(query) << row.request;
    EXPECT_THAT(query.error().message(), HasSubstr(row.field));
  }
}

TEST(Convert, FillsAForwardedFlow) {
  const ::flow::Flow out = to_proto(sample_flow(), "node-a");
  EXPECT_EQ(out.verdict(), ::flow::FORWARDED);
  EXPECT_EQ(out.ip().source(), "10.0.0.5");
  EXPECT_EQ(out.ip().ipversion(), ::flow::IPv4);
  EXPECT_EQ(out.l4().tcp().destination_port(), 5432U);
  EXPECT_TRUE(out.l4().tcp().flags().syn());
  EXPECT_FALSE(out.l4().tcp().flags().ack());
  EXPECT_EQ(out.source().pod_name(), "web-0");
  EXPECT_EQ(out.source().labels(0), "k8s:app=web");
  EXPECT_EQ(out.destination().identity(), 6000U);
  EXPECT_EQ(out.destination().workloads(0).name(), "db");
  EXPECT_EQ(out.type(), ::flow::L3_L4);
  EXPECT_EQ(out.event_type().type(), 4);
  EXPECT_EQ(out.event_type().sub_type(), 5);
  EXPECT_EQ(out.trace_observation_point(), ::flow::FROM_ENDPOINT);
  EXPECT_EQ(out.traffic_direction(), ::flow::EGRESS);
  EXPECT_TRUE(out.has_is_reply());
  EXPECT_EQ(out.interface().name(), "sl01");
  EXPECT_EQ(out.time().seconds(), 1000);
  EXPECT_EQ(out.summary(), "TCP Flags: SYN");
  EXPECT_EQ(out.node_name(), "node-a");
  EXPECT_FALSE(out.has_extensions());
}

TEST(Convert, FillsADropAndClaimsNoDirectionOfReply) {
  const ::flow::Flow out = to_proto(sample_drop(DROP_SPOOFED_SOURCE), "node-a");
  EXPECT_EQ(out.verdict(), ::flow::DROPPED);
  EXPECT_EQ(out.drop_reason(), 132U);
  EXPECT_EQ(out.drop_reason_desc(), ::flow::INVALID_SOURCE_IP);
  EXPECT_EQ(out.event_type().type(), 1);
  EXPECT_EQ(out.event_type().sub_type(), 132);
  EXPECT_FALSE(out.has_is_reply());
  EXPECT_EQ(out.trace_observation_point(), ::flow::UNKNOWN_POINT);
}

TEST(Convert, EachHookHasItsObservationPointAndNumber) {
  struct Row {
    uint8_t hook;
    bool overlay;
    ::flow::TraceObservationPoint point;
    int sub_type;
    ::flow::TrafficDirection direction;
  };
  const Row rows[] = {
      {HOOK_POD_EGRESS, false, ::flow::FROM_ENDPOINT, 5, ::flow::EGRESS},
      {HOOK_POD_INGRESS, false, ::flow::TO_ENDPOINT, 0, ::flow::INGRESS},
      {HOOK_UPLINK_INGRESS, false, ::flow::FROM_NETWORK, 10, ::flow::INGRESS},
      {HOOK_UPLINK_INGRESS, true, ::flow::FROM_OVERLAY, 9, ::flow::INGRESS},
      {HOOK_UPLINK_EGRESS, false, ::flow::TO_NETWORK, 11, ::flow::EGRESS},
      {HOOK_UPLINK_EGRESS, true, ::flow::TO_OVERLAY, 4, ::flow::EGRESS},
  };
  for (const Row& row : rows) {
    EnrichedFlow flow = sample_flow();
    flow.event.hook = row.hook;
    flow.device =
        std::make_shared<const Device>(Device{.ifindex = 1, .name = "d", .overlay = row.overlay});
    EXPECT_EQ(observation_point(flow), row.point) << int{row.hook};
    EXPECT_EQ(event_type(flow).sub_type(), row.sub_type) << int{row.hook};
    EXPECT_EQ(traffic_direction(flow), row.direction) << int{row.hook};
  }
}

TEST(Convert, SummarisesEachProtocol) {
  struct Row {
    uint8_t proto;
    uint8_t icmp_type;
    uint8_t tcp_flags;
    const char* summary;
  };
  const Row rows[] = {
      {IPPROTO_TCP, 0, 0x12, "TCP Flags: SYN, ACK"},
      {IPPROTO_TCP, 0, 0x11, "TCP Flags: ACK, FIN"},
      {IPPROTO_UDP, 0, 0, "UDP"},
      {IPPROTO_ICMP, 8, 0, "ICMPv4 EchoRequest"},
      {IPPROTO_ICMPV6, 129, 0, "ICMPv6 EchoReply"},
      {IPPROTO_ICMP, 200, 0, "ICMPv4 type 200 code 0"},
      {47, 0, 0, "protocol 47"},
  };
  for (const Row& row : rows) {
    EnrichedFlow flow = sample_flow();
    flow.event.proto = row.proto;
    flow.event.icmp_type = row.icmp_type;
    flow.event.tcp_flags = row.tcp_flags;
    EXPECT_EQ(summary(flow), row.summary);
  }
}

}  // namespace
}  // namespace sluice
