// SPDX-License-Identifier: Apache-2.0
// `sluice status`: one screen; healthy, or exactly what is wrong and the next step.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/health.h"

namespace sluice::cli {

namespace {

using admin::v1::StatusResponse;

// "  name      text", with continuation lines under the text.
class Screen {
 public:
  Screen(std::ostream& out, bool color) : out_(out), color_(color) {}

  void line(const std::string& name, const std::string& text) {
    const std::string shown = name == last_ ? "" : name;
    std::string padded = shown;
    padded.resize(std::max<size_t>(padded.size(), 11), ' ');
    out_ << "  " << styled(padded, Style::kDim, color_) << ' ' << text << '\n';
    last_ = name;
  }

 private:
  std::ostream& out_;
  bool color_;
  std::string last_;
};

void print_problems(const StatusResponse& status, std::ostream& out, bool color) {
  for (const auto& problem : status.problems()) {
    const bool failing = problem.severity() == "fail";
    out << "  " << styled(failing ? "FAIL" : "WARN", failing ? Style::kBad : Style::kWarn, color)
        << ' ' << problem.object() << ": " << problem.message() << '\n';
    if (!problem.next_step().empty()) out << "       next: " << problem.next_step() << '\n';
  }
  if (status.problems_size() != 0) out << '\n';
}

std::string device_text(const admin::v1::Device& device) {
  std::string text = device.role() + " " + (device.name().empty() ? "?" : device.name());
  std::string detail;
  const auto append = [&detail](const std::string& part) {
    detail += (detail.empty() ? "" : ", ") + part;
  };
  for (const std::string& address : device.addresses()) append(address);
  if (device.mtu() != 0) append("mtu " + std::to_string(device.mtu()));
  return detail.empty() ? text : text + " (" + detail + ")";
}

void print_facts(const StatusResponse& status, std::ostream& out, bool color) {
  Screen screen(out, color);
  screen.line("cluster", plural(status.nodes(), "node") + ", " + plural(status.pods(), "pod") +
                             ", " + plural(status.endpoints(), "endpoint") + " on this node");
  screen.line("intent",
              "revision " + std::to_string(status.intent_revision()) +
                  " arrived, in the kernel: " + std::to_string(status.applied_revision()));
  screen.line("network", "routing " + status.routing() + ", attached by " +
                             (status.attach_mode().empty() ? "nothing yet" : status.attach_mode()));
  for (const auto& device : status.devices()) screen.line("network", device_text(device));
  for (const auto& pool : status.pools()) {
    screen.line("addresses",
                pool.cidr() + ": " + std::to_string(pool.used()) + " of " +
                    std::to_string(pool.total()) + " used" +
                    (pool.resting() == 0 ? std::string()
                                         : ", " + std::to_string(pool.resting()) + " resting"));
  }
  for (const auto& hook : status.hooks()) {
    screen.line("packets", hook.hook() + ": " + std::to_string(hook.seen()) + " seen, " +
                               std::to_string(hook.forwarded()) + " forwarded, " +
                               std::to_string(hook.redirected()) + " redirected, " +
                               std::to_string(hook.dropped()) + " dropped");
  }
  for (const auto& table : status.tables()) {
    screen.line("tables", table.name() + ": " + std::to_string(table.entries()) + " of " +
                              std::to_string(table.max_entries()) + " (" +
                              percent_text(table.entries(), table.max_entries()) + ")");
  }
  screen.line("events", std::to_string(status.flows_seen()) + " flow events seen, " +
                            std::to_string(status.events_lost()) + " lost");
  screen.line("memory", bytes_text(status.rss_bytes()));
  std::string well;
  for (const auto& condition : status.conditions()) {
    if (condition.ok()) well += (well.empty() ? "" : ", ") + condition.name();
  }
  if (!well.empty()) screen.line("well", well);
}

void print_screen(const StatusResponse& status, Session& session) {
  const bool color = session.options.color();
  const int64_t up_ms = std::max<int64_t>(0, session.unix_ms() - status.started_unix_ms());
  const auto failing = std::count_if(status.problems().begin(), status.problems().end(),
                                     [](const auto& p) { return p.severity() == "fail"; });
  session.out << (status.healthy()
                      ? styled("healthy", Style::kGood, color)
                      : styled("unhealthy: " + plural(static_cast<uint64_t>(failing), "problem"),
                               Style::kBad, color))
              << "   node " << (status.node().empty() ? "?" : status.node()) << ", sluice-agent "
              << status.version() << " (" << status.commit() << "), up "
              << age_text(static_cast<uint64_t>(up_ms)) << '\n';
  print_problems(status, session.out, color);
  print_facts(status, session.out, color);
}

// One line for a loop over nodes.
void print_line(const StatusResponse& status, std::ostream& out) {
  out << (status.healthy() ? "healthy" : "unhealthy") << "\tnode=" << status.node()
      << "\tendpoints=" << status.endpoints() << "\trevision=" << status.applied_revision() << '/'
      << status.intent_revision();
  for (const auto& problem : status.problems()) {
    out << '\t' << problem.severity() << '=' << problem.object() << ": " << problem.message();
  }
  out << '\n';
}

int run_status(Session& session) {
  admin::v1::AdminRequest request;
  admin::v1::AdminResponse response;
  int exit_code = kExitOk;
  request.mutable_status();
  if (!ask(session, request, response, exit_code)) return exit_code;
  StatusResponse status = response.status();
  request.mutable_endpoints();
  if (!ask(session, request, response, exit_code)) return exit_code;

  conclude(status, response.endpoints(), session.unix_ms());
  switch (session.options.output()) {
    case Format::kJson:
      print_json(session.out, status);
      break;
    case Format::kCompact:
      print_line(status, session.out);
      break;
    case Format::kTable:
      print_screen(status, session);
      break;
  }
  return status.healthy() ? kExitOk : kExitUnhealthy;
}

}  // namespace

void add_status(CLI::App& root, Session& session) {
  CLI::App* command =
      root.add_subcommand("status", "Healthy, or what is wrong, with what, and the next step");
  add_common_options(*command, session, true,
                     "  sluice status\n"
                     "  sluice status -o compact            one line, for a loop over nodes\n"
                     "  sluice status -o json | jq .problems\n"
                     "  until sluice status; do sleep 1; done");
  command->callback([&session] { session.chosen = [&session] { return run_status(session); }; });
}

}  // namespace sluice::cli
