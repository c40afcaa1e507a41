// SPDX-License-Identifier: Apache-2.0
// Which flows each filter of the Hubble API takes, and what it says of a filter that it cannot
// honour.
#include "agent/flows/filter.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <set>

#include "agent/flows/selector.h"
#include "tests/unit/flow_samples.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

Result<FlowFilters> compile(const std::string& request_text) {
  observer::GetFlowsRequest request;
  if (!google::protobuf::TextFormat::ParseFromString(request_text, &request)) {
    ADD_FAILURE() << "test request does not parse: " << request_text;
  }
  return FlowFilters::compile(request, "node-a");
}

bool takes(const std::string& filter, const EnrichedFlow& flow) {
  const auto filters = compile("whitelist { " + filter + " }");
  if (!filters) {
    ADD_FAILURE() << filter << ": " << filters.error().message();
    return false;
  }
  return filters->matches(flow);
}

struct Row {
  const char* filter;
  bool taken;
};

TEST(FlowFilters, EachFieldTakesWhatItNamesAndNothingElse) {
  const Row rows[] = {
      {"source_pod: 'demo/web-0'", true},
      {"source_pod: 'demo/web'", true},
      {"source_pod: 'demo/eb-0'", false},
      {"source_pod: 'demo/'", true},
      {"source_pod: 'dem/'", false},
      {"source_pod: '/web'", true},
      {"source_pod: 'web-0'", false},  // no namespace means "default"
      {"source_pod: 'other/' source_pod: 'demo/'", true},
      {"destination_pod: 'shop/db'", true},
      {"destination_pod: 'demo/web'", false},
      {"source_ip: '10.0.0.5'", true},
      {"source_ip: '10.0.0.6'", false},
      {"source_ip: '10.0.0.0/24'", true},
      {"source_ip: '10.0.0.77/24'", true},
      {"source_ip: '10.0.1.0/24'", false},
      {"source_ip: '0.0.0.0/0'", true},
      {"source_ip: '::/0'", false},
      {"destination_ip: '10.0.1.0/28'", true},
      {"source_port: '40000'", true},
      {"destination_port: '5432' ", true},
      {"destination_port: '40000'", false},
      {"source_label: 'app=web'", true},
      {"source_label: 'app=db'", false},
      {"destination_label: 'k8s:app in (db, cache)'", true},
      {"source_workload { name: 'web' }", true},
      {"source_workload { name: 'web' kind: 'DaemonSet' }", false},
      {"destination_workload { kind: 'Deployment' }", true},
      {"source_identity: 5000", true},
      {"source_identity: 6000", false},
      {"destination_identity: 6000", true},
      {"verdict: FORWARDED", true},
      {"verdict: DROPPED", false},
      {"verdict: DROPPED verdict: FORWARDED", true},
      {"drop_reason_desc: POLICY_DENIED", false},
      {"event_type { type: 4 }", true},
      {"event_type { type: 1 }", false},
      {"event_type { type: 4 match_sub_type: true sub_type: 5 }", true},
      {"event_type { type: 4 match_sub_type: true sub_type: 0 }", false},
      {"protocol: 'TCP'", true},
      {"protocol: 'udp'", false},
      {"protocol: 'icmp' protocol: 'tcp'", true},
      {"reply: false", true},
      {"reply: true", false},
      {"tcp_flags { SYN: true }", true},
      {"tcp_flags { SYN: true ACK: true }", false},
      {"tcp_flags { RST: true } tcp_flags { SYN: true }", true},
      {"node_name: 'node-a'", true},
      {"node_name: 'node-*'", true},
      {"node_name: 'default/node-a'", true},
      {"node_name: 'default/'", true},
      {"node_name: 'other/node-a'", false},
      {"node_name: 'node-b'", false},
      {"ip_version: IPv4", true},
      {"ip_version: IPv6", false},
      {"uuid: '12345678-9abc-4def-8000-000000000000'", true},
      {"uuid: '12345678-9abc-4def-8000-000000000001'", false},
      {"traffic_direction: EGRESS", true},
      {"traffic_direction: INGRESS", false},
      {"interface { name: 'sl01' }", true},
      {"interface { index: 17 }", true},
      {"interface { index: 17 name: 'eth0' }", false},
  };
  for (const Row& row : rows) EXPECT_EQ(takes(row.filter, sample_flow()), row.taken) << row.filter;
}

TEST(FlowFilters, DropsAreFoundByTheirReasonAndCountAsNoReply) {
  EnrichedFlow drop = sample_drop(DROP_FRAGMENT_UNKNOWN);
  drop.event.is_reply = 1;
  const Row rows[] = {
      {"verdict: DROPPED", true},
      {"drop_reason_desc: FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND", true},
      {"drop_reason_desc: POLICY_DENIED", false},
      {"event_type { type: 1 match_sub_type: true sub_type: 175 }", true},
      {"reply: true", false},
      {"reply: false", true},
  };
  for (const Row& row : rows) EXPECT_EQ(takes(row.filter, drop), row.taken) << row.filter;
}

TEST(FlowFilters, PortsAndFlagsMeanNothingWithoutThem) {
  EnrichedFlow ping = sample_flow();
  ping.event.proto = IPPROTO_ICMP;
  ping.event.sport_be = 0;
  EXPECT_FALSE(takes("source_port: '0'", ping));
  EXPECT_FALSE(takes("tcp_flags { SYN: true }", ping));
  EXPECT_TRUE(takes("protocol: 'icmp'", ping));
  EXPECT_FALSE(takes("protocol: 'icmpv6'", ping));
}

TEST(FlowFilters, FieldsOfAFilterMustAllHoldAndFiltersAreAlternatives) {
  EXPECT_FALSE(takes("source_pod: 'demo/' verdict: DROPPED", sample_flow()));
  EXPECT_TRUE(takes("source_pod: 'demo/' verdict: FORWARDED", sample_flow()));
  EXPECT_TRUE(compile("whitelist { verdict: DROPPED } whitelist { source_pod: 'demo/' }")
                  ->matches(sample_flow()));
  EXPECT_FALSE(compile("whitelist { verdict: DROPPED } whitelist { source_pod: 'x/' }")
                   ->matches(sample_flow()));
}

TEST(FlowFilters, TheBlacklistTakesAwayFromTheWhitelist) {
  EXPECT_TRUE(compile("")->matches(sample_flow()));
  EXPECT_FALSE(compile("blacklist { source_pod: 'demo/' }")->matches(sample_flow()));
  EXPECT_FALSE(compile("whitelist { protocol: 'tcp' } blacklist { destination_port: '5432' }")
                   ->matches(sample_flow()));
  EXPECT_TRUE(compile("whitelist { protocol: 'tcp' } blacklist { destination_port: '80' }")
                  ->matches(sample_flow()));
}

TEST(FlowFilters, WrongValuesNameTheFieldAndTheValue) {
  struct Bad {
    const char* request;
    const char* field;
    const char* value;
  };
  const Bad rows[] = {
      {"whitelist { source_ip: '10.0.0' }", "whitelist[0].source_ip", "10.0.0"},
      {"whitelist { source_ip: '10.0.0.0/33' }", "whitelist[0].source_ip", "10.0.0.0/33"},
      {"whitelist { source_ip: '10.0.0.0/' }", "whitelist[0].source_ip", "10.0.0.0/"},
      {"whitelist { source_ip: 'fd00::/129' }", "whitelist[0].source_ip", "fd00::/129"},
      {"whitelist { source_port: '65536' }", "whitelist[0].source_port", "65536"},
      {"whitelist { source_port: '8o' }", "whitelist[0].source_port", "8o"},
      {"whitelist { source_pod: '' }", "whitelist[0].source_pod", "\"\""},
      {"whitelist { source_pod: 'a/b/c' }", "whitelist[0].source_pod", "a/b/c"},
      {"whitelist { source_label: 'a in (' }", "whitelist[0].source_label", "a in ("},
      {"whitelist {} blacklist { protocol: 'http' }", "blacklist[0].protocol", "http"},
      {"whitelist { node_name: 'a/b/c' }", "whitelist[0].node_name", "a/b/c"},
      {"whitelist { tcp_flags { NS: true } }", "whitelist[0].tcp_flags", "NS"},
  };
  for (const Bad& row : rows) {
    const auto filters = compile(row.request);
    ASSERT_FALSE(filters) << row.request;
    EXPECT_EQ(filters.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(filters.error().message(), HasSubstr(row.field));
    EXPECT_THAT(filters.error().message(), HasSubstr(row.value));
  }
}

// Walks the schema, so that a field which is added to it is either supported or refused by name.
TEST(FlowFilters, EveryFieldIsEitherSupportedOrRefusedByName) {
  const std::set<std::string> refused = {
      "source_fqdn",    "destination_fqdn",    "http_status_code",
      "source_service", "destination_service", "dns_query",
      "http_method",    "http_path",           "trace_id",
      "http_url",       "http_header",         "source_ip_xlated",
      "node_labels",    "source_cluster_name", "destination_cluster_name",
      "ip_trace_id",    "encrypted",           "experimental"};
  const auto* descriptor = ::flow::FlowFilter::descriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const auto* field = descriptor->field(i);
    EXPECT_EQ(predicate_maker(field->number()) == nullptr, refused.contains(field->name()))
        << field->name();
  }
  for (const char* filter : {"source_fqdn: 'a'", "http_method: 'GET'", "encrypted: true",
                             "source_service: 'x'", "experimental { cel_expression: 'true' }"}) {
    const auto filters = compile(std::string("blacklist { ") + filter + " }");
    ASSERT_FALSE(filters) << filter;
    EXPECT_THAT(filters.error().message(), HasSubstr("is not supported"));
    EXPECT_THAT(filters.error().message(), HasSubstr(std::string(filter).substr(0, 5)));
  }
}

TEST(FlowFilters, AFieldOfALaterSchemaIsRefusedByNumber) {
  observer::GetFlowsRequest request;
  ::flow::FlowFilter* filter = request.add_whitelist();
  filter->GetReflection()->MutableUnknownFields(filter)->AddLengthDelimited(777, "x");
  const auto filters = FlowFilters::compile(request, "node-a");
  ASSERT_FALSE(filters);
  EXPECT_THAT(filters.error().message(), HasSubstr("777"));
}

TEST(LabelSelector, FollowsTheKubernetesRules) {
  const std::vector<std::string> labels = {"k8s:app=web", "k8s:example.com/tier=front",
                                           "reserved:host", "k8s:empty="};
  const Row rows[] = {
      {"", true},
      {"app", true},
      {"!app", false},
      {"!none", true},
      {"app=web", true},
      {"app==web", true},
      {"app = web", true},
      {"app=we", false},
      {"app!=web", false},
      {"app!=db", true},
      {"none!=db", true},  // an absent key is different from any value
      {"app in (db, web)", true},
      {"app in (db)", false},
      {"app notin (db)", true},
      {"none notin (db)", true},
      {"none in (db)", false},
      {"app=web,example.com/tier=front", true},
      {"app=web, example.com/tier=back", false},
      {"k8s:app=web", true},
      {"any:app=web", true},
      {"reserved:app=web", false},
      {"reserved:host", true},
      {"k8s:host", false},
      {"empty=", true},
      {"app=", false},
      {"in=web", false},
  };
  for (const Row& row : rows) {
    const auto selector = LabelSelector::parse(row.filter);
    ASSERT_TRUE(selector) << row.filter << ": " << selector.error().message();
    EXPECT_EQ(selector->matches(labels), row.taken) << row.filter;
  }
}

TEST(LabelSelector, SaysWhereTheTextIsWrong) {
  for (const char* text : {"=x", "app in", "app in (", "app in (a", "app in (a;b)", "app ~ b",
                           "app=a b", "app=a,", "!", "a:b:c=d", "app > 3", ","}) {
    const auto selector = LabelSelector::parse(text);
    ASSERT_FALSE(selector) << text;
    EXPECT_THAT(selector.error().message(), HasSubstr("at column")) << text;
  }
}

}  // namespace
}  // namespace sluice
