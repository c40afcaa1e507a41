// SPDX-License-Identifier: Apache-2.0
// `sluice observe`: flows from the agent's (or a relay's) Observer service, as they were or as they
// happen.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "cli/flow_filter.h"
#include "cli/flow_text.h"
#include "hubble/observer/observer.grpc.pb.h"

namespace sluice::cli {

namespace {

using observer::GetFlowsResponse;

constexpr std::chrono::seconds kConnectDeadline{5};

struct ObserveFlags {
  FlowFlags flow;
  std::string server = kDefaultObserver;
};

class FlowPrinter {
 public:
  explicit FlowPrinter(Session& session)
      : session_(session),
        table_({{.title = "TIME"},
                {.title = "FROM", .may_shrink = true},
                {.title = ""},
                {.title = "TO", .may_shrink = true},
                {.title = "VERDICT", .may_shrink = true},
                {.title = "SUMMARY", .may_shrink = true}}) {}

  void print(const GetFlowsResponse& response) {
    const Format format = session_.options.output(Format::kCompact);
    if (format == Format::kJson) {
      session_.out << json_line(response) << '\n' << std::flush;
    } else if (!response.has_flow()) {
      session_.err << compact_line(response, session_.options.color()) << '\n';
    } else if (format == Format::kCompact) {
      session_.out << compact_line(response, session_.options.color()) << '\n' << std::flush;
    } else {
      const FlowText text = flow_text(response.flow());
      table_.add({{text.time},
                  {text.left},
                  {text.arrow},
                  {text.right},
                  {text.verdict, text.style},
                  {text.summary}});
    }
  }

  void finish() {
    if (!table_.empty()) table_.print(session_.out, session_.options.look());
  }

 private:
  Session& session_;
  Table table_;
};

int report_stream_end(Session& session, const std::string& server, const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED ||
      status.error_code() == grpc::StatusCode::INVALID_ARGUMENT) {
    session.err << "sluice: the observer at " << server
                << " refuses the request: " << status.error_message() << '\n';
    return kExitUnhealthy;
  }
  const bool refused = status.error_message().find("Permission denied") != std::string::npos;
  session.err << "sluice: cannot read flows from " << server << ": " << status.error_message()
              << (refused ? "\n  The socket is root's. Try: sudo sluice observe ...\n"
                          : "\n  Is sluice-agent running? Try: sluice status, or --server with the "
                            "address of an observer (unix:///path, or host:port).\n");
  return kExitUnreachable;
}

int run_observe(Session& session, const ObserveFlags& flags) {
  FlowFlags asked = flags.flow;
  // Our own lines show what is in it; JSON is for others too.
  asked.counters = asked.counters || session.options.output(Format::kCompact) != Format::kJson;
  const auto request = flows_request(asked, session.unix_ms());
  if (!request) {
    session.err << "sluice: " << request.error().message() << '\n';
    return kExitUsage;
  }
  if (flags.flow.follow && session.options.format == "table") {
    session.err << "sluice: --output table: needs the end of the stream; use compact or json with "
                   "--follow\n";
    return kExitUsage;
  }
  const auto channel = grpc::CreateChannel(flags.server, grpc::InsecureChannelCredentials());
  const auto stub = observer::Observer::NewStub(channel);
  grpc::ClientContext context;
  if (!flags.flow.follow) {
    // Only the start has a deadline: a long answer may take its time.
    const auto until = std::chrono::system_clock::now() + kConnectDeadline;
    auto state = channel->GetState(true);
    // Nobody listens there: waiting on would not change that.
    while (state != GRPC_CHANNEL_READY && state != GRPC_CHANNEL_TRANSIENT_FAILURE &&
           channel->WaitForStateChange(state, until)) {
      state = channel->GetState(true);
    }
  }
  const auto reader = stub->GetFlows(&context, *request);
  FlowPrinter printer(session);
  GetFlowsResponse response;
  while (reader->Read(&response)) {
    printer.print(response);
    if (!session.out.good()) {
      context.TryCancel();
      break;
    }
  }
  printer.finish();
  const bool written = session.out.good();
  const grpc::Status status = reader->Finish();
  // We ended it ourselves: nobody takes the output. run() says why.
  if (!written) return kExitOk;
  return status.ok() ? kExitOk : report_stream_end(session, flags.server, status);
}

void add_flow_options(CLI::App& command, ObserveFlags& flags) {
  const auto many = [&command](const char* name, std::vector<std::string>& values, const char* what,
                               const char* type) {
    command.add_option(name, values, what)
        ->type_name(type)
        ->expected(1)
        ->take_all()
        ->delimiter(',');
  };
  command.add_flag("-f,--follow", flags.flow.follow, "Flows as they happen, until Ctrl-C");
  many("--pod", flags.flow.pods, "Pods at either end: namespace/ or namespace/prefix", "NS/PREFIX");
  many("--from-pod", flags.flow.from_pods, "Pods that send", "NS/PREFIX");
  many("--to-pod", flags.flow.to_pods, "Pods that receive", "NS/PREFIX");
  command.add_option("-n,--namespace", flags.flow.pod_namespace, "Pods of this namespace")
      ->type_name("NS");
  many("--ip", flags.flow.ips, "Address or range at either end", "CIDR");
  many("--port", flags.flow.ports, "Port at either end", "PORT");
  many("--protocol", flags.flow.protocols, "Protocols", "NAME:{tcp,udp,icmp,icmpv4,icmpv6,sctp}");
  many("--verdict", flags.flow.verdicts, "Verdicts",
       "NAME:{forwarded,dropped,error,redirected,audit,traced,translated}");
  command
      .add_option("--last", flags.flow.last,
                  "The last N that match (default 20, without --follow and --since)")
      ->check(CLI::Range(uint64_t{0}, uint64_t{1} << 32).description(""))
      ->type_name("N");
  command.add_option("--since", flags.flow.since, "From so long ago (5m), or from a time on")
      ->type_name("TIME");
  command.add_flag(
      "--counters", flags.flow.counters,
      "JSON with Sluice's extension: packets, bytes, the drop reason in full (Hubble's "
      "clients cannot read it)");
  command.add_option("--server", flags.server, "The observer")
      ->type_name("ADDRESS")
      ->check([](const std::string& address) {
        return address.empty() ? std::string("must be unix:///path or host:port") : std::string();
      })
      ->capture_default_str();
}

}  // namespace

void add_observe(CLI::App& root, Session& session) {
  CLI::App* command = root.add_subcommand("observe", "Flows: who talked to whom, and the verdict");
  const auto flags = std::make_shared<ObserveFlags>();
  add_flow_options(*command, *flags);
  add_common_options(*command, session, false,
                     "  sluice observe                                    the last 20 flows\n"
                     "  sluice observe -f --namespace demo                of a namespace, live\n"
                     "  sluice observe --from-pod demo/client --to-pod demo/server\n"
                     "  sluice observe -f --verdict dropped               what fails now, and why\n"
                     "  sluice observe --since 5m --port 53 --protocol udp\n"
                     "  sluice observe --last 100 -o json | jq .flow.verdict");
  command->callback([&session, flags] {
    session.chosen = [&session, flags] { return run_observe(session, *flags); };
  });
}

}  // namespace sluice::cli
