// SPDX-License-Identifier: Apache-2.0
// `sluice observe`: flags to request, flows to lines.
#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include "cli/flow_filter.h"
#include "cli/flow_text.h"
#include "hubble/flow/counters.pb.h"

namespace sluice::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

observer::GetFlowsResponse drop_flow() {
  observer::GetFlowsResponse response;
  response.set_node_name("n1");
  auto& flow = *response.mutable_flow();
  flow.set_verdict(::flow::DROPPED);
  flow.mutable_source()->set_namespace_("demo");
  flow.mutable_source()->set_pod_name("client");
  flow.mutable_destination()->add_labels("reserved:world");
  flow.mutable_ip()->set_source("10.0.1.5");
  flow.mutable_ip()->set_destination("203.0.113.9");
  flow.mutable_l4()->mutable_tcp()->set_source_port(40000);
  flow.mutable_l4()->mutable_tcp()->set_destination_port(443);
  flow.mutable_l4()->mutable_tcp()->mutable_flags()->set_syn(true);
  flow.mutable_is_reply()->set_value(false);
  flow::v1::Counters counters;
  counters.set_drop_reason("no_route");
  counters.set_drop_explanation("no way there");
  flow.mutable_extensions()->PackFrom(counters);
  return response;
}

TEST(FlowsRequest, WithoutFlagsAsksForTheLastTwentyUnfiltered) {
  const auto request = flows_request({}, 0);

  ASSERT_TRUE(request);
  EXPECT_EQ(request->number(), kLastDefault);
  EXPECT_EQ(request->whitelist_size(), 0);
  EXPECT_FALSE(request->has_since());
}

TEST(FlowsRequest, OurExtensionIsSentOnlyWhereItIsAskedFor) {
  FlowFlags flags;
  EXPECT_FALSE(flows_request(flags, 0)->has_extensions());
  flags.counters = true;
  EXPECT_TRUE(flows_request(flags, 0)->has_extensions());
}

TEST(FlowsRequest, FollowAndSinceHaveNoNumberOfTheirOwn) {
  FlowFlags live;
  live.follow = true;
  EXPECT_EQ(flows_request(live, 0)->number(), 0U);
  FlowFlags flags;
  flags.since = "5m";
  const auto request = flows_request(flags, 1000000);
  EXPECT_EQ(request->number(), 0U);
  EXPECT_EQ(google::protobuf::util::TimeUtil::TimestampToMilliseconds(request->since()), 700000);
}

TEST(FlowsRequest, EitherEndIsTwoAlternativesAndFlagsNarrowEachOther) {
  FlowFlags flags;
  flags.pods = {"demo/client", "other"};
  flags.ports = {"80"};
  flags.verdicts = {"dropped"};
  flags.protocols = {"TCP"};

  const auto request = flows_request(flags, 0);

  ASSERT_TRUE(request);
  ASSERT_EQ(request->whitelist_size(), 4);
  for (const auto& filter : request->whitelist()) {
    EXPECT_THAT(filter.verdict(), ElementsAre(::flow::DROPPED));
    EXPECT_THAT(filter.protocol(), ElementsAre("tcp"));
  }
  EXPECT_THAT(request->whitelist(0).source_pod(), ElementsAre("demo/client", "default/other"));
  EXPECT_THAT(request->whitelist(0).source_port(), ElementsAre("80"));
  EXPECT_THAT(request->whitelist(1).source_pod(), ElementsAre("demo/client", "default/other"));
  EXPECT_THAT(request->whitelist(1).destination_port(), ElementsAre("80"));
  EXPECT_THAT(request->whitelist(2).destination_pod(), ElementsAre("demo/client", "default/other"));
}

TEST(FlowsRequest, NamespaceIsAPodPrefixOrCompletesAName) {
  FlowFlags alone;
  alone.pod_namespace = "demo";
  EXPECT_THAT(flows_request(alone, 0)->whitelist(0).source_pod(), ElementsAre("demo/"));
  FlowFlags named;
  named.pod_namespace = "demo";
  named.from_pods = {"client"};
  named.to_pods = {"kube-system/dns"};
  const auto request = flows_request(named, 0);
  ASSERT_EQ(request->whitelist_size(), 1);
  EXPECT_THAT(request->whitelist(0).source_pod(), ElementsAre("demo/client"));
  EXPECT_THAT(request->whitelist(0).destination_pod(), ElementsAre("kube-system/dns"));
}

TEST(FlowsRequest, BadValuesNameTheirFlag) {
  FlowFlags flags;
  flags.ips = {"10.0.0.300"};
  EXPECT_THAT(flows_request(flags, 0).error().message(), HasSubstr("--ip"));
  flags = {};
  flags.ports = {"http"};
  EXPECT_THAT(flows_request(flags, 0).error().message(), HasSubstr("--port"));
  flags = {};
  flags.verdicts = {"maybe"};
  EXPECT_THAT(flows_request(flags, 0).error().message(), HasSubstr("--verdict"));
  flags = {};
  flags.since = "soon";
  EXPECT_THAT(flows_request(flags, 0).error().message(), HasSubstr("--since"));
  flags = {};
  flags.pods = {"a/b"};
  flags.to_pods = {"c/d"};
  EXPECT_THAT(flows_request(flags, 0).error().message(), HasSubstr("--pod"));
}

TEST(FlowText, ADropNamesOurReasonAndWhatItMeans) {
  EXPECT_THAT(compact_line(drop_flow(), false),
              HasSubstr(" demo/client:40000 -> 203.0.113.9:443 (world) DROPPED NO_ROUTE "
                        "(TCP Flags: SYN): no way there"));
}

TEST(FlowText, ASpoofedSourceIsShownBesideThePodThatSentIt) {
  auto response = drop_flow();
  flow::v1::Counters counters;
  counters.set_drop_reason("SPOOFED_SOURCE");
  response.mutable_flow()->mutable_extensions()->PackFrom(counters);

  EXPECT_THAT(compact_line(response, false),
              HasSubstr(" demo/client:40000 as 10.0.1.5 -> 203.0.113.9:443 (world) DROPPED "));
}

TEST(FlowText, AReplyKeepsTheOpenerOnTheLeft) {
  auto response = drop_flow();
  response.mutable_flow()->set_verdict(::flow::FORWARDED);
  response.mutable_flow()->mutable_is_reply()->set_value(true);

  EXPECT_THAT(compact_line(response, false),
              HasSubstr("203.0.113.9:443 (world) <- demo/client:40000 FORWARDED"));
}

TEST(FlowText, JsonHasHubblesNames) {
  const std::string json = json_line(drop_flow());

  EXPECT_EQ(json.rfind("{\"flow\":{", 0), 0U) << json;
  EXPECT_THAT(json, HasSubstr("\"verdict\":\"DROPPED\""));
  EXPECT_THAT(json, HasSubstr("\"pod_name\":\"client\""));
  EXPECT_THAT(json, HasSubstr("\"IP\":{\"source\":\"10.0.1.5\""));
  EXPECT_THAT(json, HasSubstr("\"l4\":{\"TCP\":{\"source_port\":40000"));
  EXPECT_THAT(json, HasSubstr("\"node_name\":\"n1\""));
  EXPECT_EQ(json.find('\n'), std::string::npos);
}

TEST(FlowText, LostEventsAreSaid) {
  observer::GetFlowsResponse response;
  response.mutable_lost_events()->set_num_events_lost(3);
  response.mutable_lost_events()->set_source(::flow::HUBBLE_RING_BUFFER);

  EXPECT_EQ(compact_line(response, false), "-- 3 events lost in hubble-ring-buffer");
}

}  // namespace
}  // namespace sluice::cli
