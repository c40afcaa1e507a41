// SPDX-License-Identifier: Apache-2.0
// The flow service with a real gRPC client over a unix socket.
#include "agent/flows/observer_server.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "hubble/flow/counters.pb.h"
#include "hubble/observer/observer.grpc.pb.h"
#include "tests/unit/flow_samples.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

observer::GetFlowsRequest request_of(const std::string& text) {
  observer::GetFlowsRequest request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return request;
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

TEST_F(ObserverTest, AFollowerWithAnEndStopsAtTheFirstLaterFlowOfThePast) {
  for (uint16_t i = 1; i <= 4; ++i) log_.add(numbered(i));
  const Answer answer = get_flows("follow: true since { seconds: 1 } until { seconds: 3 }");
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_THAT(answer.responses, SizeIs(3));
}

TEST_F(ObserverTest, AFollowerWithAnEndStopsAtTheFirstLaterFlowToCome) {
  log_.add(numbered(1));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  auto reader =
      stub_->GetFlows(&context, request_of("follow: true number: 1 until { seconds: 3 }"));
  observer::GetFlowsResponse response;
  ASSERT_TRUE(reader->Read(&response));

  for (uint16_t i = 2; i <= 4; ++i) log_.add(numbered(i));

  EXPECT_TRUE(reader->Read(&response));
  EXPECT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.flow().l4().tcp().source_port(), 3U);
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_TRUE(reader->Finish().ok());
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
