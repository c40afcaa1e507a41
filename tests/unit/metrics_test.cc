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

#include "agent/metrics/metrics.h"
#include "lib/fd/fd.h"
#include "lib/http/metrics_http.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Fd connect_to(int port, int family) {
  Fd socket_fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in ipv4{};
  ipv4.sin_family = AF_INET;
  ipv4.sin_port = htons(static_cast<uint16_t>(port));
  ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 ipv6{};
  ipv6.sin6_family = AF_INET6;
  ipv6.sin6_port = htons(static_cast<uint16_t>(port));
  ipv6.sin6_addr = in6addr_loopback;
  const int result =
      family == AF_INET
          ? connect(socket_fd.get(), reinterpret_cast<sockaddr*>(&ipv4), sizeof(ipv4))
          : connect(socket_fd.get(), reinterpret_cast<sockaddr*>(&ipv6), sizeof(ipv6));
  const timeval patience{.tv_sec = 15, .tv_usec = 0};
  setsockopt(socket_fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  return result == 0 ? std::move(socket_fd) : Fd();
}

std::string get(int port, const std::string& path, int family = AF_INET) {
  const Fd socket_fd = connect_to(port, family);
  if (!socket_fd.valid()) return "no connection";
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
  sources.address_exhausted = [] { return uint64_t{1}; };
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

TEST(Metrics, RowsWithEqualLabelsAreOneSeries) {
  MetricsSources sources;
  sources.drops = [] {
    return std::vector<DropSeries>{{"", "pod_egress", "NO_ROUTE", 3, 180},
                                   {"sl01", "pod_egress", "NO_ROUTE", 1, 60},
                                   {"", "pod_egress", "NO_ROUTE", 4, 200}};
  };
  const std::string text = Metrics(std::move(sources), "0.1.0", "abc").scrape();

  const std::string gone = "{device=\"\",hook=\"pod_egress\",reason=\"NO_ROUTE\"} ";
  EXPECT_THAT(text, HasSubstr("sluice_datapath_drop_packets_total" + gone + "7\n"));
  EXPECT_THAT(text, HasSubstr("sluice_datapath_drop_bytes_total" + gone + "380\n"));
  const size_t first = text.find("drop_packets_total" + gone);
  EXPECT_EQ(text.find("drop_packets_total" + gone, first + 1), std::string::npos);
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
  EXPECT_THAT(get(port, "/healthz?full=1"), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(get(port, "/etc/passwd"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(get(port, "/metrics\r\n\r\n", AF_INET), StartsWith("HTTP/1.1 400"));
}

TEST(MetricsHttp, ConnectionsThatSayNothingKeepNobodyOut) {
  auto server = MetricsHttpServer::start({.address = "127.0.0.1:0",
                                          .metrics = [] { return std::string(); },
                                          .failing = [] { return std::vector<std::string>{}; }});
  ASSERT_TRUE(server) << server.error().message();
  std::vector<Fd> idle;
  for (int i = 0; i < 600; ++i) idle.push_back(connect_to((*server)->port(), AF_INET));

  EXPECT_THAT(get((*server)->port(), "/healthz"), StartsWith("HTTP/1.1 200 OK"));
}

TEST(MetricsHttp, ARequestThatDoesNotEndIsGivenUp) {
  auto server = MetricsHttpServer::start({.address = "127.0.0.1:0",
                                          .metrics = [] { return std::string(); },
                                          .failing = [] { return std::vector<std::string>{}; }});
  ASSERT_TRUE(server) << server.error().message();
  const Fd slow = connect_to((*server)->port(), AF_INET);
  ASSERT_EQ(write(slow.get(), "GET /", 5), 5);
  const Fd huge = connect_to((*server)->port(), AF_INET);
  const std::string much(64 << 10, 'x');
  (void)send(huge.get(), much.data(), much.size(), MSG_NOSIGNAL);

  char byte = 0;
  EXPECT_EQ(read(slow.get(), &byte, 1), 0);
  EXPECT_LE(read(huge.get(), &byte, 1), 0);
  EXPECT_NE(errno, EAGAIN);
}

TEST(MetricsHttp, EveryAddressIsOneOfEitherFamily) {
  auto server = MetricsHttpServer::start({.address = "[::]:0",
                                          .metrics = [] { return std::string(); },
                                          .failing = [] { return std::vector<std::string>{}; }});
  ASSERT_TRUE(server) << server.error().message();
  const int port = (*server)->port();

  EXPECT_THAT(get(port, "/healthz"), StartsWith("HTTP/1.1 200 OK"));
  const Fd ipv6(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!ipv6.valid()) GTEST_SKIP() << "this kernel has no IPv6";
  EXPECT_THAT(get(port, "/healthz", AF_INET6), StartsWith("HTTP/1.1 200 OK"));
}

TEST(MetricsHttp, NamesTheAddressItCannotHave) {
  for (const char* address : {"", "nonsense", "203.0.113.7:1", "127.0.0.1:99999"}) {
    const auto server =
        MetricsHttpServer::start({.address = address, .metrics = {}, .failing = {}});
    ASSERT_FALSE(server) << address;
    EXPECT_THAT(server.error().message(), HasSubstr(*address == '\0' ? "is empty" : address));
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
