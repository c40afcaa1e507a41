// SPDX-License-Identifier: Apache-2.0
// The operator's flags, and what it shows to machines.
#include "operator/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/metrics/metrics.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

OperatorConfig good() {
  OperatorConfig config;
  config.identity = "host-1";
  return config;
}

TEST(OperatorFlags, SetEverySetting) {
  OperatorConfig config;
  CLI::App app;
  add_flags(app, config);

  app.parse(
      "--kubeconfig a.conf --service-account-dir /sa --api-server https://a:1 --api-server "
      "https://b:2 --namespace sluice --identity r1 --agent-account agents --listen 192.0.2.1:1 "
      "--metrics-address [::1]:2 --tls-dir /tls --log-level debug");

  EXPECT_EQ(config.kubeconfig, "a.conf");
  EXPECT_EQ(config.service_account_dir, "/sa");
  EXPECT_THAT(config.api_servers, ElementsAre("https://a:1", "https://b:2"));
  EXPECT_EQ(config.namespace_name, "sluice");
  EXPECT_EQ(config.identity, "r1");
  EXPECT_EQ(config.agent_account, "agents");
  EXPECT_EQ(config.listen, "192.0.2.1:1");
  EXPECT_EQ(config.metrics_address, "[::1]:2");
  EXPECT_EQ(config.tls_dir, "/tls");
  EXPECT_EQ(config.log_level, "debug");
  EXPECT_TRUE(check_config(config));
}

TEST(OperatorFlags, DefaultsAreGood) {
  EXPECT_TRUE(check_config(good()));
  OperatorConfig config = good();
  config.metrics_address = "";
  EXPECT_TRUE(check_config(config)) << "off";
}

TEST(OperatorFlags, WrongOnesAreNamedWithWhatIsAllowed) {
  struct Row {
    const char* flag;
    std::string OperatorConfig::* field;
    const char* value;
  };
  const Row rows[] = {{"--namespace", &OperatorConfig::namespace_name, "Kube"},
                      {"--identity", &OperatorConfig::identity, ""},
                      {"--identity", &OperatorConfig::identity, "a b"},
                      {"--agent-account", &OperatorConfig::agent_account, "a:b"},
                      {"--listen", &OperatorConfig::listen, "4250"},
                      {"--listen", &OperatorConfig::listen, "host:4250"},
                      {"--listen", &OperatorConfig::listen, "::1:4250"},
                      {"--listen", &OperatorConfig::listen, "192.0.2.1:0"},
                      {"--listen", &OperatorConfig::listen, "192.0.2.1:65536"},
                      {"--listen", &OperatorConfig::listen, ""},
                      {"--metrics-address", &OperatorConfig::metrics_address, "x"},
                      {"--tls-dir", &OperatorConfig::tls_dir, "relative"},
                      {"--service-account-dir", &OperatorConfig::service_account_dir, "sa"},
                      {"--log-level", &OperatorConfig::log_level, "loud"}};
  for (const Row& row : rows) {
    OperatorConfig config = good();
    config.*row.field = row.value;

    const auto checked = check_config(config);

    ASSERT_FALSE(checked) << row.flag << " " << row.value;
    EXPECT_THAT(checked.error().message(), HasSubstr(std::string("flag ") + row.flag + ": \"" +
                                                     row.value + "\" is not allowed; allowed: "));
  }
  OperatorConfig config = good();
  config.api_servers = {"https://a:1", "http://b:2"};
  config.tls_dir = "x";
  EXPECT_THAT(check_config(config).error().message(),
              testing::AllOf(HasSubstr("--api-server: \"http://b:2\""), HasSubstr("--tls-dir"),
                             Not(HasSubstr("https://a:1\""))));
}

TEST(OperatorAccess, OutsideAPodSomethingHasToBeNamed) {
  EXPECT_THAT(cluster_access(good(), "", "").error().message(), HasSubstr("--kubeconfig"));
  OperatorConfig config = good();
  config.kubeconfig = "/nowhere/a.conf";
  EXPECT_THAT(cluster_access(config, "", "").error().message(),
              testing::AllOf(HasSubstr("--kubeconfig"), HasSubstr("/nowhere/a.conf")));
  EXPECT_THAT(cluster_access(good(), "fd00::1", "443")->servers,
              ElementsAre("https://[fd00::1]:443"));
  config = good();
  config.api_servers = {"https://a:1", "https://b:2"};
  EXPECT_THAT(cluster_access(config, "10.0.0.1", "443")->servers, SizeIs(2));
}

TEST(OperatorMetrics, NameKindsAndCauses) {
  OperatorFigures figures{.version = "1.2", .commit = "abc"};
  figures.kinds.push_back(
      {.kind = "Pod", .objects = 7, .restarts = {{"expired", 2}}, .synced = true, .lag_s = 1.5});
  figures.leads = true;
  StreamCounters counters;
  counters.refused_node = 3;
  figures.stream = stream_figures(counters);

  const std::string text = metrics_text(figures);

  EXPECT_THAT(text, HasSubstr("sluice_operator_build_info{version=\"1.2\",commit=\"abc\"} 1"));
  EXPECT_THAT(text, HasSubstr("sluice_operator_objects{kind=\"Pod\"} 7"));
  EXPECT_THAT(text, HasSubstr("sluice_operator_watch_lag_seconds{kind=\"Pod\"} 1.5"));
  EXPECT_THAT(text,
              HasSubstr("sluice_operator_watch_restarts_total{kind=\"Pod\",reason=\"expired\"} 2"));
  EXPECT_THAT(text, HasSubstr("sluice_operator_leader 1"));
  EXPECT_THAT(text, HasSubstr("sluice_operator_streams_refused_total{cause=\"node\"} 3"));
}

TEST(OperatorMetrics, LoopThatPublishesNothingIsAFailure) {
  PublishedFigures published;
  const PublishedFigures::Time begin{std::chrono::hours(1)};
  published.set({.failing = {"Pod: not listed yet"}}, begin);

  EXPECT_THAT(published.failing(begin + std::chrono::seconds(9)),
              ElementsAre("Pod: not listed yet"));
  published.set({}, begin);
  EXPECT_THAT(published.failing(begin + std::chrono::seconds(9)), IsEmpty());
  EXPECT_THAT(published.failing(begin + std::chrono::seconds(10)),
              ElementsAre(HasSubstr("busy for 10 s")));
}

}  // namespace
}  // namespace sluice
