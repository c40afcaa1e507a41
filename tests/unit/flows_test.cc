// SPDX-License-Identifier: Apache-2.0
// The flow log under one writer and many readers, and its gRPC service with a real client over a
// unix socket.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "agent/flows/convert.h"
#include "agent/flows/flow_log.h"
#include "agent/flows/observer_server.h"
#include "agent/flows/query.h"
#include "hubble/flow/counters.pb.h"
#include "hubble/observer/observer.grpc.pb.h"
#include "tests/unit/flow_samples.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A flow whose source port and time tell it apart: port n, at n seconds.
EnrichedFlow numbered(uint16_t number) {
  EnrichedFlow flow = sample_flow();
  flow.event.sport_be = htons(number);
  flow.time_unix_ns = int64_t{number} * 1'000'000'000;
  return flow;
}

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

class ObserverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/observer_test.XXXXXX";
    folder_ = mkdtemp(name);
    start({});
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  void start(ObserverOptions options) {
    server_.reset();
    options.node_name = "node-a";
    options.version = "sluice 0.1.0";
    options.unix_socket = socket_path();
    auto server = ObserverServer::start(options, log_);
    ASSERT_TRUE(server) << server.error().message();
    server_ = std::move(*server);
    stub_ = observer::Observer::NewStub(
        grpc::CreateChannel("unix:" + socket_path(), grpc::InsecureChannelCredentials()));
  }
  std::string socket_path() const { return folder_ + "/run/observer.sock"; }

  struct Answer {
    grpc::Status status;
    std::vector<observer::GetFlowsResponse> responses;
  };
  Answer get_flows(const std::string& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    auto reader = stub_->GetFlows(&context, request_of(request));
    Answer answer;
    for (observer::GetFlowsResponse response; reader->Read(&response);)
      answer.responses.push_back(response);
    answer.status = reader->Finish();
    return answer;
  }

  std::string folder_;
  FlowLog log_{100};
  std::unique_ptr<ObserverServer> server_;
  std::unique_ptr<observer::Observer::Stub> stub_;
};

TEST_F(ObserverTest, StreamsThePastThroughItsFilters) {
  log_.add(sample_flow());
  log_.add(sample_drop());

  const Answer answer = get_flows("whitelist { verdict: DROPPED }");

  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  ASSERT_THAT(answer.responses, SizeIs(1));
  EXPECT_EQ(answer.responses[0].flow().drop_reason_desc(), ::flow::POLICY_DENIED);
  EXPECT_EQ(answer.responses[0].node_name(), "node-a");
  EXPECT_EQ(answer.responses[0].time().seconds(), 1000);
}

TEST_F(ObserverTest, RefusesAFilterItCannotHonour) {
  const Answer answer = get_flows("whitelist { source_fqdn: 'example.com' }");
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("whitelist[0].source_fqdn"));
}

TEST_F(ObserverTest, FollowsNewFlowsAndLossesUntilTheClientLeaves) {
  log_.add(numbered(1));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  auto reader = stub_->GetFlows(&context, request_of("follow: true number: 1"));
  observer::GetFlowsResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.flow().l4().tcp().source_port(), 1U);

  log_.add(numbered(2));
  log_.add_lost(5);

  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.flow().l4().tcp().source_port(), 2U);
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.lost_events().num_events_lost(), 5U);
  EXPECT_EQ(response.lost_events().source(), ::flow::PERF_EVENT_RING_BUFFER);
  context.TryCancel();
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(ObserverTest, ASlowFollowerIsToldWhatItMissedAndTheWriterDoesNotWait) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  log_.add(numbered(1));
  auto reader = stub_->GetFlows(&context, request_of("follow: true number: 1"));
  observer::GetFlowsResponse response;
  ASSERT_TRUE(reader->Read(&response));

  constexpr uint64_t kFlows = 20000;  // more than the log and the stream's window hold
  for (uint64_t i = 0; i < kFlows; ++i) log_.add(numbered(2));

  uint64_t got = 0;
  uint64_t lost = 0;
  while (got + lost < kFlows && reader->Read(&response)) {
    if (response.has_flow()) ++got;
    if (response.has_lost_events()) {
      EXPECT_EQ(response.lost_events().source(), ::flow::HUBBLE_RING_BUFFER);
      lost += response.lost_events().num_events_lost();
    }
  }
  EXPECT_EQ(got + lost, kFlows);
  EXPECT_GT(lost, 0U);
  context.TryCancel();
}

TEST_F(ObserverTest, AFollowerWithAnEndStopsAtTheFirstLaterFlow) {
  std::jthread writer([&] {
    // The stream may start before or after these: with `since` it gets them either way.
    for (uint16_t i = 1; i <= 4; ++i) log_.add(numbered(i));
  });
  const Answer answer = get_flows("follow: true since { seconds: 1 } until { seconds: 3 }");
  writer.join();
  EXPECT_TRUE(answer.status.ok());
  EXPECT_THAT(answer.responses, SizeIs(3));
}

TEST_F(ObserverTest, SendsCountersOnlyToAClientThatAsks) {
  EnrichedFlow flow = sample_flow(EVENT_FLOW_CLOSE);
  flow.event.packets[0] = 12;
  flow.event.bytes[1] = 3400;
  log_.add(flow);
  log_.add(sample_drop(DROP_CT_FULL));
  EXPECT_FALSE(get_flows("").responses.at(0).flow().has_extensions());

  const Answer answer = get_flows(
      "extensions { [type.googleapis.com/sluice.flow.v1.ExtensionRequest] { counters: true } }");

  ASSERT_THAT(answer.responses, SizeIs(2)) << answer.status.error_message();
  sluice::flow::v1::Counters counters;
  ASSERT_TRUE(answer.responses[0].flow().extensions().UnpackTo(&counters));
  EXPECT_EQ(counters.kind(), sluice::flow::v1::Counters::CLOSE);
  EXPECT_EQ(counters.opener_packets(), 12U);
  EXPECT_EQ(counters.replier_bytes(), 3400U);
  ASSERT_TRUE(answer.responses[1].flow().extensions().UnpackTo(&counters));
  EXPECT_EQ(counters.drop_reason(), "CT_FULL");
  EXPECT_THAT(counters.drop_explanation(), HasSubstr("full"));
}

TEST_F(ObserverTest, AFieldMaskLeavesOutTheRest) {
  log_.add(sample_flow());
  const Answer some =
      get_flows("field_mask { paths: 'source.pod_name' paths: 'l7.http' paths: 'time' }");
  ASSERT_THAT(some.responses, SizeIs(1));
  EXPECT_EQ(some.responses[0].flow().source().pod_name(), "web-0");
  EXPECT_EQ(some.responses[0].flow().source().identity(), 0U);
  EXPECT_FALSE(some.responses[0].flow().has_destination());
  EXPECT_TRUE(some.responses[0].has_time());
  const Answer none = get_flows("field_mask { paths: 'l7.http' }");
  EXPECT_EQ(none.responses.at(0).flow().uuid(), "");
}

TEST_F(ObserverTest, ReportsStatusNodesAndNamespaces) {
  log_.add(sample_flow());
  grpc::ClientContext status_context;
  observer::ServerStatusResponse status;
  ASSERT_TRUE(stub_->ServerStatus(&status_context, {}, &status).ok());
  EXPECT_EQ(status.num_flows(), 1U);
  EXPECT_EQ(status.max_flows(), 100U);
  EXPECT_EQ(status.seen_flows(), 1U);
  EXPECT_EQ(status.version(), "sluice 0.1.0");
  EXPECT_GT(status.uptime_ns(), 0U);
  grpc::ClientContext nodes_context;
  observer::GetNodesResponse nodes;
  ASSERT_TRUE(stub_->GetNodes(&nodes_context, {}, &nodes).ok());
  EXPECT_EQ(nodes.nodes(0).name(), "node-a");
  EXPECT_EQ(nodes.nodes(0).state(), relay::NODE_CONNECTED);
  grpc::ClientContext namespaces_context;
  observer::GetNamespacesResponse namespaces;
  ASSERT_TRUE(stub_->GetNamespaces(&namespaces_context, {}, &namespaces).ok());
  EXPECT_EQ(namespaces.namespaces_size(), 2);
}

TEST_F(ObserverTest, StreamsThatItDoesNotHaveAreUnimplemented) {
  grpc::ClientContext context;
  auto reader = stub_->GetAgentEvents(&context, {});
  observer::GetAgentEventsResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(ObserverTest, RefusesMoreStreamsThanItsLimit) {
  start({.node_name = {}, .version = {}, .unix_socket = {}, .tcp_address = {}, .max_streams = 1});
  log_.add(numbered(1));
  grpc::ClientContext context;
  auto first = stub_->GetFlows(&context, request_of("follow: true number: 1"));
  observer::GetFlowsResponse response;
  ASSERT_TRUE(first->Read(&response));

  EXPECT_EQ(get_flows("").status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  context.TryCancel();
}

TEST_F(ObserverTest, EndsItsStreamsWhenItStops) {
  log_.add(numbered(1));
  grpc::ClientContext context;
  auto reader = stub_->GetFlows(&context, request_of("follow: true number: 1"));
  observer::GetFlowsResponse response;
  ASSERT_TRUE(reader->Read(&response));

  server_.reset();

  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ObserverTest, ServesTcpToo) {
  start({.node_name = {},
         .version = {},
         .unix_socket = {},
         .tcp_address = "127.0.0.1:0",
         .max_streams = 4});
  ASSERT_GT(server_->tcp_port(), 0);
  stub_ = observer::Observer::NewStub(grpc::CreateChannel(
      "127.0.0.1:" + std::to_string(server_->tcp_port()), grpc::InsecureChannelCredentials()));
  log_.add(sample_flow());
  EXPECT_THAT(get_flows("").responses, SizeIs(1));
}

TEST_F(ObserverTest, TakesOverTheSocketOfACrashedAgentAndKeepsOthersOut) {
  server_.reset();
  std::filesystem::create_directories(folder_ + "/run");
  {
    // What a killed agent leaves behind.
    FlowLog old_log(1);
    ObserverOptions options{.node_name = "x",
                            .version = "x",
                            .unix_socket = socket_path(),
                            .tcp_address = {},
                            .max_streams = 1};
    auto old = ObserverServer::start(options, old_log);
    ASSERT_TRUE(old);
    std::filesystem::rename(socket_path(), socket_path() + ".kept");
  }
  std::filesystem::rename(socket_path() + ".kept", socket_path());

  start({});

  log_.add(sample_flow());
  EXPECT_THAT(get_flows("").responses, SizeIs(1));
  EXPECT_EQ(
      std::filesystem::status(socket_path()).permissions() & std::filesystem::perms::others_all,
      std::filesystem::perms::none);
}

TEST_F(ObserverTest, NamesTheAddressItCannotListenOn) {
  ObserverOptions options{.node_name = "x",
                          .version = "x",
                          .unix_socket = folder_ + "/two.sock",
                          .tcp_address = "203.0.113.7:4244",
                          .max_streams = 1};
  const auto server = ObserverServer::start(options, log_);
  ASSERT_FALSE(server);
  EXPECT_THAT(server.error().message(), HasSubstr("203.0.113.7:4244"));
}

}  // namespace
}  // namespace sluice
