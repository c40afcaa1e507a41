// SPDX-License-Identifier: Apache-2.0
// What a scrape and a health probe see, over real HTTP.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "agent/metrics/http_server.h"
#include "agent/metrics/metrics.h"
#include "lib/fd/fd.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string get(int port, const std::string& path) {
  const Fd socket_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    return "no connection";
  const std::string request =
      "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  if (write(socket_fd.get(), request.data(), request.size()) < 0) return "no write";
  std::string answer;
  char buffer[4096];
  for (ssize_t got = 0; (got = read(socket_fd.get(), buffer, sizeof(buffer))) > 0;) {
    answer.append(buffer, static_cast<size_t>(got));
  }
  return answer;
}

MetricsSources sample_sources() {
  MetricsSources sources;
  sources.hooks = [] { return std::vector<HookVerdictCount>{{"pod_egress", "forwarded", 11}}; };
  sources.drops = [] {
    return std::vector<DropSeries>{{"sl01", "pod_egress", "POLICY_DENY", 3, 180}};
  };
  sources.maps = [] { return std::vector<MapFill>{{"sl_ct", 5, 100}}; };
  sources.addresses = [] { return std::vector<AddressRange>{{"10.0.0.0/24", 1, 2, 251}}; };
  sources.events = [] { return std::vector<LabelledCount>{{"open", 7}}; };
  sources.events_lost = [] { return std::vector<LabelledCount>{{"ring_full", 1}}; };
  sources.flows = [] { return uint64_t{8}; };
  sources.endpoints = [] { return uint64_t{2}; };
  sources.intent_problems = [] { return uint64_t{0}; };
  return sources;
}

TEST(Metrics, ReadsTheSourcesAtEachScrape) {
  uint64_t flows = 1;
  MetricsSources sources;
  sources.flows = [&] { return flows; };
  const Metrics metrics(std::move(sources), "0.1.0", "abc");

  EXPECT_THAT(metrics.scrape(), HasSubstr("sluice_agent_flows_total 1\n"));
  flows = 2;
  EXPECT_THAT(metrics.scrape(), HasSubstr("sluice_agent_flows_total 2\n"));
}

TEST(Metrics, PrintsEveryFamilyWithItsLabels) {
  Metrics metrics(sample_sources(), "0.1.0", "abc");
  metrics.count_cni("ADD", 0, std::chrono::milliseconds(3));
  metrics.count_apply(false, std::chrono::milliseconds(3));
  metrics.count_address_exhausted();

  const std::string text = metrics.scrape();

  for (const char* line : {
           "sluice_datapath_packets_total{hook=\"pod_egress\",verdict=\"forwarded\"} 11\n",
           "sluice_datapath_drop_packets_total{device=\"sl01\",hook=\"pod_egress\",reason=\"POLICY_"
           "DENY\"} 3\n",
           "sluice_datapath_drop_bytes_total{device=\"sl01\",hook=\"pod_egress\",reason=\"POLICY_"
           "DENY\"} 180\n",
           "sluice_datapath_map_entries{map=\"sl_ct\"} 5\n",
           "sluice_datapath_map_max_entries{map=\"sl_ct\"} 100\n",
           "sluice_agent_addresses{cidr=\"10.0.0.0/24\",state=\"used\"} 1\n",
           "sluice_agent_addresses{cidr=\"10.0.0.0/24\",state=\"resting\"} 2\n",
           "sluice_agent_addresses{cidr=\"10.0.0.0/24\",state=\"free\"} 251\n",
           "sluice_agent_events_total{kind=\"open\"} 7\n",
           "sluice_agent_events_lost_total{cause=\"ring_full\"} 1\n",
           "sluice_agent_flows_total 8\n",
           "sluice_agent_endpoints 2\n",
           "sluice_agent_intent_problems 0\n",
           "sluice_agent_cni_requests_total{code=\"0\",command=\"ADD\"} 1\n",
           "sluice_agent_cni_duration_seconds_bucket{command=\"ADD\",le=\"0.005\"} 1\n",
           "sluice_agent_cni_duration_seconds_bucket{command=\"ADD\",le=\"0.002\"} 0\n",
           "sluice_agent_apply_duration_seconds_count 1\n",
           "sluice_agent_apply_errors_total 1\n",
           "sluice_agent_address_exhausted_total 1\n",
           "sluice_agent_build_info{commit=\"abc\",version=\"0.1.0\"} 1\n",
           "# TYPE process_resident_memory_bytes gauge\n",
       }) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(Metrics, LeavesOutWhatHasNoSource) {
  const Metrics metrics({}, "0.1.0", "abc");
  EXPECT_THAT(metrics.scrape(), Not(HasSubstr("sluice_datapath_map_entries")));
}

TEST(Metrics, AStrangersCommandMakesNoNewSeries) {
  Metrics metrics({}, "0.1.0", "abc");
  metrics.count_cni("rm -rf\n\"", 4, std::chrono::milliseconds(1));
  EXPECT_THAT(metrics.scrape(), HasSubstr("command=\"other\"} 1"));
  EXPECT_THAT(metrics.scrape(), Not(HasSubstr("rm -rf")));
}

TEST(Metrics, CountsFromManyThreadsWhileScraped) {
  Metrics metrics(sample_sources(), "0.1.0", "abc");
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 500; ++n) metrics.count_cni("ADD", 0, std::chrono::milliseconds(1));
      });
    }
    for (int n = 0; n < 20; ++n) (void)metrics.scrape();
  }
  EXPECT_THAT(metrics.scrape(),
              HasSubstr("sluice_agent_cni_requests_total{code=\"0\",command=\"ADD\"} 2000\n"));
}

TEST(MetricsHttp, ServesMetricsAndHealth) {
  const Metrics metrics(sample_sources(), "0.1.0", "abc");
  std::vector<std::string> failing;
  auto server = MetricsHttpServer::start({.address = "127.0.0.1:0",
                                          .metrics = [&] { return metrics.scrape(); },
                                          .failing = [&] { return failing; }});
  ASSERT_TRUE(server) << server.error().message();
  const int port = (*server)->port();

  EXPECT_THAT(get(port, "/metrics"), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(get(port, "/metrics"), HasSubstr("sluice_agent_flows_total 8\n"));
  EXPECT_THAT(get(port, "/healthz"), HasSubstr("\r\n\r\nok\n"));
  failing = {"datapath: programs are not attached to eth0"};
  EXPECT_THAT(get(port, "/healthz"), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(get(port, "/healthz"), HasSubstr("datapath: programs are not attached to eth0\n"));
  EXPECT_THAT(get(port, "/etc/passwd"), StartsWith("HTTP/1.1 404"));
}

TEST(MetricsHttp, NamesTheAddressItCannotHave) {
  for (const char* address : {"", "nonsense", "203.0.113.7:1", "127.0.0.1:99999"}) {
    const auto server =
        MetricsHttpServer::start({.address = address, .metrics = {}, .failing = {}});
    ASSERT_FALSE(server) << address;
    EXPECT_THAT(server.error().message(), HasSubstr("metricsAddress"));
  }
}

TEST(MetricsHttp, APortThatIsTakenIsAnError) {
  const MetricsHttpOptions options{.address = "127.0.0.1:0",
                                   .metrics = [] { return ""; },
                                   .failing = [] { return std::vector<std::string>{}; }};
  const auto first = MetricsHttpServer::start(options);
  ASSERT_TRUE(first);
  MetricsHttpOptions second = options;
  second.address = "127.0.0.1:" + std::to_string((*first)->port());
  EXPECT_FALSE(MetricsHttpServer::start(second));
}

}  // namespace
}  // namespace sluice
