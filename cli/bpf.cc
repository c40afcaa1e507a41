// SPDX-License-Identifier: Apache-2.0
// `sluice bpf ct|nat|endpoint|identity`: the kernel's own rows, decoded by the agent.
#include <CLI/CLI.hpp>
#include <map>
#include <memory>

#include "cli/commands.h"
#include "cli/format.h"

namespace sluice::cli {

namespace {

using admin::v1::AdminRequest;
using admin::v1::AdminResponse;

template <class Flags>
std::string joined(const Flags& flags) {
  std::string text;
  for (const std::string& flag : flags) text += (text.empty() ? "" : ",") + flag;
  return text;
}

std::string time_text(Session& session, uint64_t ms) {
  return session.options.output() == Format::kCompact ? std::to_string(ms) : age_text(ms);
}

Table conntrack_table(const admin::v1::ConntrackResponse& response, Session& session) {
  Table table({{.title = "PROTO"},
               {.title = "OPENER", .may_shrink = true},
               {.title = "REPLIER", .may_shrink = true},
               {.title = "STATE"},
               {.title = "AGE", .right = true},
               {.title = "IDLE", .right = true},
               {.title = "SENT", .right = true},
               {.title = "BACK", .right = true},
               {.title = "TRANSLATED", .may_shrink = true},
               {.title = "TUNNEL", .may_shrink = true},
               {.title = "FLAGS", .may_shrink = true}});
  for (const auto& row : response.rows()) {
    table.add({{row.protocol()},
               {endpoint_text(row.opener(), row.opener_port())},
               {endpoint_text(row.replier(), row.replier_port())},
               {row.state()},
               {time_text(session, row.age_ms())},
               {time_text(session, row.idle_ms())},
               {std::to_string(row.opener_packets())},
               {std::to_string(row.replier_packets())},
               {endpoint_text(row.translated_address(), row.translated_port())},
               {row.tunnel()},
               {joined(row.flags())}});
  }
  return table;
}

Table translation_table(const admin::v1::TranslationsResponse& response, Session& session) {
  Table table({{.title = "PROTO"},
               {.title = "POD", .may_shrink = true},
               {.title = "NODE", .may_shrink = true},
               {.title = "REMOTE", .may_shrink = true},
               {.title = "AGE", .right = true}});
  for (const auto& row : response.rows()) {
    table.add({{row.protocol()},
               {endpoint_text(row.pod(), row.pod_port())},
               {endpoint_text(row.node(), row.node_port())},
               {endpoint_text(row.remote(), row.remote_port())},
               {time_text(session, row.age_ms())}});
  }
  return table;
}

Table endpoint_table(const admin::v1::DatapathEndpointsResponse& response) {
  Table table({{.title = "IFINDEX", .right = true},
               {.title = "IPV4"},
               {.title = "IPV6", .may_shrink = true},
               {.title = "IDENTITY", .right = true},
               {.title = "POD MAC"},
               {.title = "HOST MAC"},
               {.title = "FLAGS", .may_shrink = true}});
  for (const auto& row : response.rows()) {
    table.add({{std::to_string(row.ifindex())},
               {row.ipv4()},
               {row.ipv6()},
               {std::to_string(row.identity())},
               {row.pod_mac()},
               {row.host_mac()},
               {joined(row.flags())}});
  }
  return table;
}

Table identity_table(const admin::v1::IdentitiesResponse& response) {
  Table table({{.title = "PREFIX", .may_shrink = true},
               {.title = "IDENTITY", .right = true},
               {.title = "NAME", .may_shrink = true},
               {.title = "NODE", .may_shrink = true},
               {.title = "IFINDEX", .right = true},
               {.title = "FLAGS", .may_shrink = true}});
  for (const auto& row : response.rows()) {
    table.add({{row.prefix()},
               {std::to_string(row.identity())},
               {row.identity_name()},
               {row.node()},
               {row.ifindex() == 0 ? "" : std::to_string(row.ifindex())},
               {joined(row.flags())}});
  }
  return table;
}

// matched: rows of the table that the filter takes, which may be more than the answer holds.
void print_rows(const Table& table, int shown, uint64_t matched, Session& session) {
  if (table.empty() && session.options.output() == Format::kTable) {
    session.out << "no rows\n";
    return;
  }
  table.print(session.out, session.options.look());
  if (matched > static_cast<uint64_t>(shown)) {
    session.err << "sluice: " << shown << " of " << plural(matched, "row")
                << " shown; narrow with --ip, --port, --protocol, or raise --limit\n";
  }
}

int run_bpf(Session& session, const AdminRequest& request) {
  AdminResponse response;
  int exit_code = kExitOk;
  if (!ask(session, request, response, exit_code)) return exit_code;
  const bool json = session.options.output() == Format::kJson;
  switch (response.response_case()) {
    case AdminResponse::kConntrack:
      if (json) break;
      print_rows(conntrack_table(response.conntrack(), session), response.conntrack().rows_size(),
                 response.conntrack().matched(), session);
      return kExitOk;
    case AdminResponse::kTranslations:
      if (json) break;
      print_rows(translation_table(response.translations(), session),
                 response.translations().rows_size(), response.translations().matched(), session);
      return kExitOk;
    case AdminResponse::kIdentities:
      if (json) break;
      print_rows(identity_table(response.identities()), response.identities().rows_size(),
                 response.identities().matched(), session);
      return kExitOk;
    case AdminResponse::kDatapathEndpoints:
      if (json) break;
      print_rows(endpoint_table(response.datapath_endpoints()),
                 response.datapath_endpoints().rows_size(), 0, session);
      return kExitOk;
    default:
      session.err
          << "sluice: the agent answered something else than was asked (another version?)\n";
      return kExitUnhealthy;
  }
  const auto* field = response.GetDescriptor()->FindFieldByNumber(response.response_case());
  print_json(session.out, response.GetReflection()->GetMessage(response, field));
  return kExitOk;
}

// Empty: the agent knows it. By its name where it has one, as rows are shown.
std::string check_protocol(std::string& text) {
  static const std::map<std::string, std::string> kNames = {
      {"1", "icmp"}, {"6", "tcp"}, {"17", "udp"}, {"58", "icmpv6"}, {"132", "sctp"}};
  if (const auto named = kNames.find(text); named != kNames.end()) text = named->second;
  for (const auto& [number, name] : kNames) {
    if (text == name) return {};
  }
  const bool digits =
      !text.empty() && text.size() <= 3 && text.find_first_not_of("0123456789") == text.npos;
  if (digits && std::stoul(text) <= 255) return {};
  return "\"" + text + "\" is none of tcp, udp, icmp, icmpv6, sctp, nor a number up to 255";
}

void add_filter(CLI::App& command, const std::shared_ptr<admin::v1::RowFilter>& filter,
                bool with_ports) {
  command
      .add_option_function<std::string>(
          "--ip", [filter](const std::string& ip) { filter->set_address(ip); },
          with_ports ? "Rows with this address at either end"
                     : "The prefix that covers this address")
      ->type_name("ADDRESS");
  if (with_ports) {
    command
        .add_option_function<uint32_t>(
            "--port", [filter](uint32_t port) { filter->set_port(port); },
            "Rows with this port at either end")
        ->check(CLI::Range(1, 65535).description(""))
        ->type_name("PORT");
    command
        .add_option_function<std::string>(
            "--protocol", [filter](const std::string& name) { filter->set_protocol(name); },
            "tcp, udp, icmp, icmpv6, sctp or a number")
        ->check(CLI::Validator(check_protocol, ""))
        ->type_name("NAME");
  }
  command
      .add_option_function<uint32_t>(
          "--limit", [filter](uint32_t limit) { filter->set_limit(limit); },
          "At most so many rows (default: all)")
      ->type_name("N");
}

}  // namespace

void add_bpf(CLI::App& root, Session& session) {
  CLI::App* group = root.add_subcommand("bpf", "Rows of the kernel's maps, decoded");
  group->require_subcommand(1);
  group->footer("Examples:\n  sluice bpf ct --ip 10.244.0.5\n  sluice bpf identity");
  const auto filter = std::make_shared<admin::v1::RowFilter>();
  const auto leaf = [&](CLI::App* command, auto fill) {
    command->callback([&session, filter, fill] {
      AdminRequest request;
      fill(request, *filter);
      session.chosen = [&session, request] { return run_bpf(session, request); };
    });
  };

  CLI::App* ct = group->add_subcommand("ct", "Connections: who opened them, state, counters");
  add_filter(*ct, filter, true);
  add_common_options(*ct, session, true,
                     "  sluice bpf ct\n"
                     "  sluice bpf ct --ip 10.244.0.5 --protocol tcp\n"
                     "  sluice bpf ct --port 443 -o json | jq '.rows[].state'");
  leaf(ct, [](AdminRequest& request, const admin::v1::RowFilter& with) {
    *request.mutable_conntrack()->mutable_filter() = with;
  });
  CLI::App* nat = group->add_subcommand("nat", "Source translations to the outside");
  add_filter(*nat, filter, true);
  add_common_options(*nat, session, true,
                     "  sluice bpf nat\n"
                     "  sluice bpf nat --ip 192.0.2.1");
  leaf(nat, [](AdminRequest& request, const admin::v1::RowFilter& with) {
    *request.mutable_translations()->mutable_filter() = with;
  });
  CLI::App* endpoint = group->add_subcommand("endpoint", "Local pods by device");
  add_common_options(*endpoint, session, true,
                     "  sluice bpf endpoint\n"
                     "  sluice bpf endpoint -o json");
  leaf(endpoint, [](AdminRequest& request, const admin::v1::RowFilter&) {
    request.mutable_datapath_endpoints();
  });
  CLI::App* identity =
      group->add_subcommand("identity", "Who owns an address and how it is reached");
  add_filter(*identity, filter, false);
  add_common_options(*identity, session, true,
                     "  sluice bpf identity\n"
                     "  sluice bpf identity --ip 10.244.1.7   every prefix that covers it");
  leaf(identity, [](AdminRequest& request, const admin::v1::RowFilter& with) {
    *request.mutable_identities()->mutable_filter() = with;
  });
}

}  // namespace sluice::cli
