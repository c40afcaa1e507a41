// SPDX-License-Identifier: Apache-2.0
// `sluice endpoint list|get`: the pods of this node as the agent made them.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "cli/commands.h"
#include "cli/format.h"

namespace sluice::cli {

namespace {

using admin::v1::Endpoint;
using admin::v1::EndpointsResponse;

std::string pod_text(const Endpoint& endpoint) {
  if (endpoint.pod_name().empty()) return "-";
  return endpoint.pod_namespace() + "/" + endpoint.pod_name();
}

uint64_t age_ms(const Endpoint& endpoint, int64_t now_ms) {
  return static_cast<uint64_t>(std::max<int64_t>(0, now_ms - endpoint.created_unix_ms()));
}

void print_list(const EndpointsResponse& response, Session& session) {
  Table table({{.title = "POD", .may_shrink = true},
               {.title = "IPV4"},
               {.title = "IPV6", .may_shrink = true},
               {.title = "IDENTITY", .right = true},
               {.title = "DEVICE"},
               {.title = "AGE", .right = true},
               {.title = "STATE", .may_shrink = true}});
  for (const Endpoint& endpoint : response.endpoints()) {
    const bool ready = endpoint.state() == "ready";
    table.add({{pod_text(endpoint)},
               {endpoint.ipv4()},
               {endpoint.ipv6()},
               {std::to_string(endpoint.identity())},
               {endpoint.host_device()},
               {age_text(age_ms(endpoint, session.unix_ms()))},
               {endpoint.state(), ready ? Style::kGood : Style::kBad}});
  }
  if (table.empty() && session.options.output() == Format::kTable) {
    session.out << "no endpoints on this node\n";
    return;
  }
  table.print(session.out, session.options.look());
}

void print_detail(const Endpoint& endpoint, Session& session) {
  const bool color = session.options.color();
  const auto line = [&](std::string name, const std::string& value) {
    if (value.empty()) return;
    name.resize(13, ' ');
    session.out << styled(name, Style::kDim, color) << ' ' << value << '\n';
  };
  line("pod", pod_text(endpoint));
  line("uid", endpoint.pod_uid());
  line("state",
       styled(endpoint.state(), endpoint.state() == "ready" ? Style::kGood : Style::kBad, color));
  line("addresses", endpoint.ipv4() + (endpoint.ipv4().empty() ? "" : " ") + endpoint.ipv6());
  line("identity", std::to_string(endpoint.identity()) + " " + endpoint.identity_name());
  line("device", endpoint.host_device() + " (ifindex " + std::to_string(endpoint.ifindex()) + ", " +
                     endpoint.host_mac() + ")");
  line("in the pod", endpoint.ifname() + " (" + endpoint.pod_mac() + ")");
  line("netns", endpoint.netns());
  line("container", endpoint.container_id());
  line("network", endpoint.network());
  line("age", age_text(age_ms(endpoint, session.unix_ms())));
  const std::map<std::string, std::string> labels(endpoint.labels().begin(),
                                                  endpoint.labels().end());
  for (const auto& [key, value] : labels) line("label", key + "=" + value);
}

// By what a person has at hand: the pod, an address, the device, a container's id or its start.
bool is_meant(const Endpoint& endpoint, const std::string& name) {
  return name == pod_text(endpoint) || name == endpoint.pod_name() || name == endpoint.ipv4() ||
         name == endpoint.ipv6() || name == endpoint.host_device() ||
         name == std::to_string(endpoint.ifindex()) ||
         (name.size() >= 4 && endpoint.container_id().rfind(name, 0) == 0);
}

bool fetch(Session& session, EndpointsResponse& endpoints, int& exit_code) {
  admin::v1::AdminRequest request;
  admin::v1::AdminResponse response;
  request.mutable_endpoints();
  if (!ask(session, request, response, exit_code)) return false;
  endpoints = response.endpoints();
  return true;
}

int run_list(Session& session) {
  EndpointsResponse endpoints;
  int exit_code = kExitOk;
  if (!fetch(session, endpoints, exit_code)) return exit_code;
  if (session.options.output() == Format::kJson) {
    print_json(session.out, endpoints);
  } else {
    print_list(endpoints, session);
  }
  return kExitOk;
}

int run_get(Session& session, const std::string& name) {
  EndpointsResponse endpoints;
  int exit_code = kExitOk;
  if (!fetch(session, endpoints, exit_code)) return exit_code;
  EndpointsResponse meant;
  for (const Endpoint& endpoint : endpoints.endpoints()) {
    if (is_meant(endpoint, name)) *meant.add_endpoints() = endpoint;
  }
  if (meant.endpoints_size() == 0) {
    session.err << "sluice: no endpoint of this node is called \"" << name
                << "\"\n  Try: sluice endpoint list; the pod may be on another node.\n";
    return kExitUnhealthy;
  }
  switch (session.options.output()) {
    case Format::kJson:
      print_json(session.out, meant);
      break;
    case Format::kCompact:
      print_list(meant, session);
      break;
    case Format::kTable:
      for (int i = 0; i < meant.endpoints_size(); ++i) {
        if (i != 0) session.out << '\n';
        print_detail(meant.endpoints(i), session);
      }
      break;
  }
  return kExitOk;
}

}  // namespace

void add_endpoint(CLI::App& root, Session& session) {
  CLI::App* group = root.add_subcommand("endpoint", "Pods of this node");
  group->require_subcommand(1);
  group->footer("Examples:\n  sluice endpoint list\n  sluice endpoint get demo/client");

  CLI::App* list = group->add_subcommand("list", "All endpoints, one a line");
  add_common_options(*list, session, true,
                     "  sluice endpoint list\n"
                     "  sluice endpoint list -o compact | cut -f1,2\n"
                     "  sluice endpoint list -o json | jq '.endpoints[].ipv4'");
  list->callback([&session] { session.chosen = [&session] { return run_list(session); }; });

  CLI::App* get = group->add_subcommand("get", "Everything about one endpoint");
  const auto name = std::make_shared<std::string>();
  get->add_option("endpoint", *name, "Namespace/pod, pod, address, device or container id")
      ->required()
      ->type_name("NAME");
  add_common_options(*get, session, true,
                     "  sluice endpoint get demo/client\n"
                     "  sluice endpoint get 10.244.0.5\n"
                     "  sluice endpoint get sl0123456789ab -o json");
  get->callback(
      [&session, name] { session.chosen = [&session, name] { return run_get(session, *name); }; });
}

}  // namespace sluice::cli
