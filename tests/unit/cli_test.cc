// SPDX-License-Identifier: Apache-2.0
// cli/: whole command lines against a fake agent, and what they print.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <sstream>

#include "cli/app.h"
#include "cli/format.h"

namespace sluice::cli {
namespace {

using admin::v1::AdminRequest;
using admin::v1::AdminResponse;
using testing::AllOf;
using testing::HasSubstr;

struct Outcome {
  int exit_code = 0;
  std::string out;
  std::string err;
};

AdminResponse healthy_agent(const AdminRequest& request) {
  AdminResponse response;
  if (request.has_endpoints()) {
    auto& endpoint = *response.mutable_endpoints()->add_endpoints();
    endpoint.set_pod_namespace("demo");
    endpoint.set_pod_name("client");
    endpoint.set_ipv4("10.0.1.5");
    endpoint.set_ipv6("fd00:1::5");
    endpoint.set_identity(256);
    endpoint.set_host_device("sl0123456789ab");
    endpoint.set_created_unix_ms(955000);
    endpoint.set_state("ready");
  } else if (request.has_status()) {
    auto& status = *response.mutable_status();
    status.set_node("n1");
    status.set_ready(true);
    status.set_started_unix_ms(880000);
    auto& pool = *status.add_pools();
    pool.set_cidr("10.0.1.0/24");
    pool.set_total(254);
    pool.set_used(3);
  } else {
    auto& drop = *response.mutable_drops()->add_drops();
    drop.set_device("sl0123456789ab");
    drop.set_pod("demo/client");
    drop.set_hook("pod_egress");
    drop.set_reason("SPOOFED_SOURCE");
    drop.set_explanation("the source address does not belong to the sender");
    drop.set_packets(7);
    drop.set_bytes(420);
  }
  return response;
}

Outcome run_line(std::vector<const char*> words, const AskAgent& agent = nullptr,
                 bool terminal = false) {
  std::ostringstream out;
  std::ostringstream err;
  Session session{.out = out,
                  .err = err,
                  .options = {},
                  .ask_agent = agent ? agent : [](const std::string&, const AdminRequest& request)
                      -> Result<AdminResponse> { return healthy_agent(request); },
                  .unix_ms = [] { return int64_t{1000000}; },
                  .pause = [](std::chrono::milliseconds) { return false; },
                  .chosen = nullptr};
  session.options.terminal = terminal;
  session.options.color_allowed = true;
  words.insert(words.begin(), "sluice");
  const int exit_code = run(session, static_cast<int>(words.size()), words.data());
  return {.exit_code = exit_code, .out = out.str(), .err = err.str()};
}

AskAgent changed(const std::function<void(AdminResponse&)>& change) {
  return [change](const std::string&, const AdminRequest& request) -> Result<AdminResponse> {
    AdminResponse response = healthy_agent(request);
    change(response);
    return response;
  };
}

TEST(CliStatus, HealthyIsSaidFirstAndExitsZero) {
  const Outcome outcome = run_line({"status"});

  EXPECT_EQ(outcome.exit_code, kExitOk);
  EXPECT_EQ(outcome.out.rfind("healthy   node n1", 0), 0U) << outcome.out;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("up 2m00s"), HasSubstr("10.0.1.0/24: 3 of 254 used")));
  EXPECT_THAT(outcome.out, testing::Not(HasSubstr("\x1b")));
}

TEST(CliStatus, NamesTheObjectThatIsWrongAndExitsOne) {
  struct Row {
    const char* name;
    std::function<void(AdminResponse&)> change;
    const char* expected;
  };
  const Row rows[] = {
      {"condition",
       [](AdminResponse& r) {
         auto& condition = *r.mutable_status()->add_conditions();
         condition.set_name("intent");
         condition.set_message("pods.yaml:3:1 is broken");
         condition.set_since_unix_ms(995000);
       },
       "FAIL intent: pods.yaml:3:1 is broken (for 5.0s)\n       next: mend what it names"},
      {"pool", [](AdminResponse& r) { r.mutable_status()->mutable_pools(0)->set_used(254); },
       "FAIL pool 10.0.1.0/24: all 254 addresses are in use"},
      {"not ready", [](AdminResponse& r) { r.mutable_status()->set_ready(false); },
       "FAIL agent: the first full sync"},
      {"table",
       [](AdminResponse& r) {
         auto& table = *r.mutable_status()->add_tables();
         table.set_name("sl_ct");
         table.set_entries(96);
         table.set_max_entries(100);
       },
       "raise conntrack.maxEntries in /etc/sluice/agent.yaml"},
  };
  for (const Row& row : rows) {
    const AskAgent agent = changed([&row](AdminResponse& r) {
      if (r.has_status()) row.change(r);
    });
    const Outcome outcome = run_line({"status"}, agent);
    EXPECT_EQ(outcome.exit_code, kExitUnhealthy) << row.name;
    EXPECT_THAT(outcome.out, HasSubstr(row.expected)) << row.name;
  }
}

TEST(CliStatus, EachConditionHasItsNextStep) {
  for (const char* name :
       {"addresses", "cni", "conntrack", "datapath", "intent", "node", "state", "uplinks", "new"}) {
    const Outcome outcome = run_line({"status"}, changed([name](AdminResponse& r) {
                                       if (r.has_status())
                                         r.mutable_status()->add_conditions()->set_name(name);
                                     }));
    EXPECT_THAT(outcome.out,
                testing::ContainsRegex(std::string("FAIL ") + name + ": .*\n       next: [a-z]"));
  }
}

TEST(CliStatus, NamesOnlySettingsThatExist) {
  for (const char* name : {"sl_endpoint", "sl_identity", "sl_device", "sl_drops"}) {
    const Outcome outcome = run_line({"status"}, changed([name](AdminResponse& r) {
                                       if (!r.has_status()) return;
                                       r.mutable_status()->set_events_lost(2);
                                       auto& table = *r.mutable_status()->add_tables();
                                       table.set_name(name);
                                       table.set_entries(8);
                                       table.set_max_entries(8);
                                     }));
    EXPECT_THAT(outcome.out, AllOf(HasSubstr("its size is fixed"),
                                   testing::Not(HasSubstr("/etc/sluice/agent.yaml"))));
  }
}

TEST(CliStatus, SaysWhatHasArrivedAndIsNotInTheKernel) {
  const auto with = [](uint64_t arrived, uint64_t applied) {
    return run_line({"status"}, changed([=](AdminResponse& r) {
                      if (!r.has_status()) return;
                      r.mutable_status()->set_intent_revision(arrived);
                      r.mutable_status()->set_applied_revision(applied);
                    }))
        .out;
  };
  EXPECT_THAT(with(3, 2), HasSubstr("WARN intent: revision 2 is in the kernel, 3 has arrived"));
  EXPECT_THAT(with(3, 3), testing::Not(HasSubstr("WARN")));
}

TEST(CliStatus, AnEndpointThatIsNotReadyIsNamed) {
  const Outcome outcome =
      run_line({"status"}, changed([](AdminResponse& r) {
                 if (!r.has_endpoints()) return;
                 r.mutable_endpoints()->mutable_endpoints(0)->set_state("no row");
               }));

  EXPECT_EQ(outcome.exit_code, kExitUnhealthy);
  EXPECT_THAT(outcome.out, HasSubstr("FAIL endpoint demo/client: no row\n"
                                     "       next: sluice endpoint get demo/client"));
}

TEST(CliStatus, WarningsAndTablesThatEvictStayHealthy) {
  const Outcome outcome = run_line({"status"}, changed([](AdminResponse& r) {
                                     if (!r.has_status()) return;
                                     r.mutable_status()->set_events_lost(2);
                                     auto& table = *r.mutable_status()->add_tables();
                                     table.set_name("sl_frag");
                                     table.set_entries(8);
                                     table.set_max_entries(8);
                                     table.set_evicts(true);
                                   }));

  EXPECT_EQ(outcome.exit_code, kExitOk);
  EXPECT_THAT(outcome.out, HasSubstr("WARN events: 2 events did not fit"));
  EXPECT_THAT(outcome.out, testing::Not(HasSubstr("WARN table")));
}

TEST(CliErrors, AnAgentThatIsAwayExitsThreeAndSaysWhatToTry) {
  const AskAgent away = [](const std::string&, const AdminRequest&) -> Result<AdminResponse> {
    return fail(from_errno("connect to x", ECONNREFUSED));
  };
  const Outcome outcome = run_line({"status"}, away);

  EXPECT_EQ(outcome.exit_code, kExitUnreachable);
  EXPECT_THAT(outcome.err,
              HasSubstr("cannot reach the agent at /run/sluice/agent.sock: Connection refused"));
  EXPECT_THAT(outcome.err, HasSubstr("Is sluice-agent running? Try: "));
  EXPECT_EQ(outcome.out, "");
}

TEST(CliErrors, WhatTheAgentRefusesExitsOne) {
  const Outcome outcome =
      run_line({"bpf", "ct"}, changed([](AdminResponse& r) { r.set_error("read sl_ct: EPERM"); }));

  EXPECT_EQ(outcome.exit_code, kExitUnhealthy);
  EXPECT_THAT(outcome.err, HasSubstr("read sl_ct: EPERM"));
}

// A stream that takes nothing.
class Refusing : public std::streambuf {
 public:
  explicit Refusing(int why) : why_(why) {}

 protected:
  int overflow(int) override { return sync(); }
  int sync() override {
    errno = why_;
    return -1;
  }

 private:
  int why_;
};

TEST(CliErrors, OutputThatNobodyTakesIsAFailureUnlessTheReaderLeft) {
  const auto status_into = [](int why, std::string& said) {
    Refusing full(why);
    std::ostream out(&full);
    std::ostringstream err;
    Session session{
        .out = out,
        .err = err,
        .options = {},
        .ask_agent = [](const std::string&, const AdminRequest& request) -> Result<AdminResponse> {
          return healthy_agent(request);
        },
        .unix_ms = [] { return int64_t{1000000}; },
        .pause = [](std::chrono::milliseconds) { return false; },
        .chosen = nullptr};
    const char* words[] = {"sluice", "status"};
    const int exit_code = run(session, 2, words);
    said = err.str();
    return exit_code;
  };
  std::string said;
  EXPECT_EQ(status_into(ENOSPC, said), kExitUnhealthy);
  EXPECT_EQ(said, "sluice: cannot write the output: No space left on device\n");
  EXPECT_EQ(status_into(EPIPE, said), kExitOk);
  EXPECT_EQ(said, "");
}

TEST(CliVersion, IsAFlagToo) {
  const Outcome flag = run_line({"--version"});
  EXPECT_EQ(flag.exit_code, kExitOk);
  EXPECT_EQ(flag.out, run_line({"version"}).out);
}

TEST(CliErrors, WrongUsageExitsTwo) {
  EXPECT_EQ(run_line({}).exit_code, kExitUsage);
  EXPECT_EQ(run_line({"nonsense"}).exit_code, kExitUsage);
  EXPECT_THAT(run_line({"nonsense"}).err, HasSubstr("no command \"nonsense\""));
  EXPECT_EQ(run_line({"status", "-o", "xml"}).exit_code, kExitUsage);
  EXPECT_EQ(run_line({"endpoint", "get"}).exit_code, kExitUsage);
  EXPECT_EQ(run_line({"bpf", "ct", "--port", "70000"}).exit_code, kExitUsage);
  EXPECT_EQ(run_line({"observe", "--since", "yesterday"}).exit_code, kExitUsage);
  EXPECT_EQ(run_line({"drops", "--interval", "1ms"}).exit_code, kExitUsage);
  EXPECT_EQ(run_line({"bpf", "ct", "--protocol", "zz"}).exit_code, kExitUsage);
  EXPECT_EQ(run_line({"bpf", "ct", "--protocol", "256"}).exit_code, kExitUsage);
  EXPECT_EQ(run_line({"observe", "--protocol", "foo"}).exit_code, kExitUsage);
  EXPECT_EQ(run_line({"observe", "--last", "-1"}).exit_code, kExitUsage);
  EXPECT_EQ(run_line({"observe", "--server", ""}).exit_code, kExitUsage);
  EXPECT_EQ(run_line({"--nope"}).exit_code, kExitUsage);
  EXPECT_THAT(run_line({"--nope"}).err, HasSubstr("no option \"--nope\""));
}

TEST(CliEndpoint, ListIsAligned) {
  EXPECT_EQ(run_line({"endpoint", "list"}).out,
            "POD          IPV4      IPV6       IDENTITY  DEVICE          AGE  STATE\n"
            "demo/client  10.0.1.5  fd00:1::5       256  sl0123456789ab  45s  ready\n");
}

TEST(CliEndpoint, GetFindsByWhatIsAtHand) {
  for (const char* name : {"demo/client", "client", "10.0.1.5", "fd00:1::5", "sl0123456789ab"}) {
    EXPECT_EQ(run_line({"endpoint", "get", name}).exit_code, kExitOk) << name;
  }
  const Outcome missing = run_line({"endpoint", "get", "demo/other"});
  EXPECT_EQ(missing.exit_code, kExitUnhealthy);
  EXPECT_THAT(missing.err, HasSubstr("\"demo/other\""));
}

TEST(CliDrops, OnceIsATableAndJsonHasFieldNames) {
  EXPECT_EQ(run_line({"drops", "--once"}, nullptr, true).out.find("\x1b[H"), std::string::npos);
  EXPECT_EQ(run_line({"drops"}).out,
            "DEVICE          POD          HOOK        REASON          PACKETS  BYTES  RATE\n"
            "sl0123456789ab  demo/client  pod_egress  SPOOFED_SOURCE        7  420 B     -\n");
  EXPECT_THAT(run_line({"drops", "-o", "json"}).out,
              AllOf(HasSubstr("\"reason_number\":0"), HasSubstr("\"packets\":\"7\"")));
  EXPECT_THAT(run_line({"drops", "--explain"}).out,
              HasSubstr("SPOOFED_SOURCE\n  the source address does not belong"));
}

TEST(CliDrops, ExplainOfAReasonNeedsNoAgent) {
  const AskAgent away = [](const std::string&, const AdminRequest&) -> Result<AdminResponse> {
    return fail(ErrorCode::kUnavailable, "away");
  };
  EXPECT_THAT(run_line({"drops", "--explain", "spoofed-source"}, away).out,
              HasSubstr("the source address does not belong to the sender"));
  EXPECT_EQ(run_line({"drops", "--explain", "nothing"}, away).exit_code, kExitUsage);
  EXPECT_THAT(run_line({"drops", "--explain", "spoofed-source", "-o", "json"}, away).out,
              HasSubstr("{\"reasons\":[{\"reason\":\"SPOOFED_SOURCE\",\"explanation\":"));
}

TEST(CliDrops, ATerminalShowsRatesFromTheSecondReadingOn) {
  uint64_t packets = 7;
  int readings = 0;
  std::ostringstream out;
  std::ostringstream err;
  Session session{
      .out = out,
      .err = err,
      .options = {},
      .ask_agent = [&](const std::string&, const AdminRequest& request) -> Result<AdminResponse> {
        AdminResponse response = healthy_agent(request);
        response.mutable_drops()->mutable_drops(0)->set_packets(packets);
        packets += 30;
        return response;
      },
      .unix_ms = [] { return int64_t{0}; },
      .pause = [&readings](std::chrono::milliseconds) { return ++readings < 2; },
      .chosen = nullptr};
  session.options.terminal = true;
  const char* words[] = {"sluice", "drops", "--interval", "2s"};

  EXPECT_EQ(run(session, 4, words), kExitOk);

  EXPECT_THAT(out.str(), HasSubstr("15.0/s"));
}

TEST(CliTable, ShrinksOnlyWhatMayShrink) {
  Table table({{.title = "A", .may_shrink = true}, {.title = "B"}});
  table.add({{"a very long text indeed"}, {"0123456789"}});
  std::ostringstream out;

  table.print(out, {.color = false, .width = 24, .compact = false});

  EXPECT_EQ(out.str(), "A             B\na very long…  0123456789\n");
}

TEST(CliFormat, DurationsAreReadAndRefused) {
  EXPECT_EQ(parse_duration("1h30m")->count(), 5400000);
  EXPECT_EQ(parse_duration("250ms")->count(), 250);
  for (const char* bad : {"", "5", "m", "5x", "-5m", "5m ", "99999999999999999999s"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

}  // namespace
}  // namespace sluice::cli
