// SPDX-License-Identifier: Apache-2.0
#include "cli/flow_filter.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <cctype>
#include <functional>

#include "cli/format.h"
#include "hubble/flow/counters.pb.h"
#include "lib/ip/ip.h"

namespace sluice::cli {

namespace {

using Filters = std::vector<::flow::FlowFilter>;
using Values = std::vector<std::string>;

std::string in_case(std::string text, int (*convert)(int)) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [convert](unsigned char c) { return static_cast<char>(convert(c)); });
  return text;
}

// A name without a namespace is of --namespace, or of "default".
Values qualified(const Values& pods, const std::string& pod_namespace) {
  Values result;
  for (const std::string& pod : pods) {
    const bool has_namespace = pod.find('/') != std::string::npos;
    result.push_back(
        has_namespace ? pod : (pod_namespace.empty() ? "default" : pod_namespace) + "/" + pod);
  }
  return result;
}

// "Either end" is an alternative of two filters. Filters of a list are alternatives and fields of
// one must all hold, so each flag of this kind doubles the list: every flag narrows what the others
// leave.
template <class SetSource, class SetDestination>
void either_end(Filters& filters, const Values& values, const SetSource& set_source,
                const SetDestination& set_destination) {
  if (values.empty()) return;
  Filters result;
  for (const ::flow::FlowFilter& filter : filters) {
    ::flow::FlowFilter at_source = filter;
    ::flow::FlowFilter at_destination = filter;
    for (const std::string& value : values) {
      set_source(at_source, value);
      set_destination(at_destination, value);
    }
    result.push_back(std::move(at_source));
    result.push_back(std::move(at_destination));
  }
  filters = std::move(result);
}

Status check_values(const FlowFlags& flags) {
  for (const std::string& ip : flags.ips) {
    const auto prefix = parse_prefix(ip);
    if (!prefix) return fail(within("--ip", prefix.error()));
  }
  for (const std::string& port : flags.ports) {
    const bool digits =
        !port.empty() && port.size() <= 5 &&
        std::all_of(port.begin(), port.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
    if (!digits || std::stoul(port) == 0 || std::stoul(port) > 65535) {
      return fail(ErrorCode::kInvalid, "--port: \"" + port + "\" is not a port (1 to 65535)");
    }
  }
  for (const std::string& protocol : flags.protocols) {
    static const Values kKnown = {"tcp", "udp", "icmp", "icmpv4", "icmpv6", "sctp"};
    if (std::find(kKnown.begin(), kKnown.end(), in_case(protocol, std::tolower)) == kKnown.end()) {
      return fail(ErrorCode::kInvalid, "--protocol: \"" + protocol +
                                           "\" is none of tcp, udp, icmp, icmpv4, icmpv6, sctp");
    }
  }
  if (!flags.pods.empty() && (!flags.from_pods.empty() || !flags.to_pods.empty())) {
    return fail(ErrorCode::kInvalid, "--pod: means either end; use --from-pod and --to-pod alone");
  }
  return {};
}

Status add_verdicts(const Values& names, ::flow::FlowFilter& filter) {
  for (const std::string& name : names) {
    ::flow::Verdict verdict{};
    if (!::flow::Verdict_Parse(in_case(name, std::toupper), &verdict)) {
      return fail(ErrorCode::kInvalid, "--verdict: \"" + name +
                                           "\" is none of forwarded, dropped, error, redirected, "
                                           "audit, traced, translated");
    }
    filter.add_verdict(verdict);
  }
  return {};
}

void add_pods(const FlowFlags& flags, Filters& filters) {
  ::flow::FlowFilter& first = filters.front();
  for (const std::string& pod : qualified(flags.from_pods, flags.pod_namespace)) {
    first.add_source_pod(pod);
  }
  for (const std::string& pod : qualified(flags.to_pods, flags.pod_namespace)) {
    first.add_destination_pod(pod);
  }
  Values pods = qualified(flags.pods, flags.pod_namespace);
  const bool named = !pods.empty() || !flags.from_pods.empty() || !flags.to_pods.empty();
  if (!named && !flags.pod_namespace.empty()) pods.push_back(flags.pod_namespace + "/");
  either_end(
      filters, pods, [](auto& filter, const auto& pod) { filter.add_source_pod(pod); },
      [](auto& filter, const auto& pod) { filter.add_destination_pod(pod); });
}

Status set_since(const std::string& since, int64_t now_ms, observer::GetFlowsRequest& request) {
  using google::protobuf::util::TimeUtil;
  if (since.empty()) return {};
  if (TimeUtil::FromString(since, request.mutable_since())) return {};
  const auto ago = parse_duration(since);
  if (!ago) {
    return fail(ErrorCode::kInvalid,
                "--since: " + ago.error().message() + ", nor a time such as 2026-01-31T12:00:00Z");
  }
  *request.mutable_since() = TimeUtil::MillisecondsToTimestamp(now_ms - ago->count());
  return {};
}

}  // namespace

Result<observer::GetFlowsRequest> flows_request(const FlowFlags& flags, int64_t now_ms) {
  if (const Status checked = check_values(flags); !checked) return fail(checked.error());
  Filters filters(1);
  if (const Status added = add_verdicts(flags.verdicts, filters.front()); !added) {
    return fail(added.error());
  }
  for (const std::string& protocol : flags.protocols) {
    filters.front().add_protocol(in_case(protocol, std::tolower));
  }
  add_pods(flags, filters);
  either_end(
      filters, flags.ips, [](auto& filter, const auto& ip) { filter.add_source_ip(ip); },
      [](auto& filter, const auto& ip) { filter.add_destination_ip(ip); });
  either_end(
      filters, flags.ports, [](auto& filter, const auto& port) { filter.add_source_port(port); },
      [](auto& filter, const auto& port) { filter.add_destination_port(port); });

  observer::GetFlowsRequest request;
  const bool narrowed = filters.size() > 1 || filters.front().ByteSizeLong() != 0;
  if (narrowed) {
    for (::flow::FlowFilter& filter : filters) *request.add_whitelist() = std::move(filter);
  }
  if (const Status set = set_since(flags.since, now_ms, request); !set) return fail(set.error());
  request.set_follow(flags.follow);
  request.set_number(flags.last);
  if (flags.last == 0 && !flags.follow && flags.since.empty()) request.set_number(kLastDefault);
  if (!flags.counters) return request;
  flow::v1::ExtensionRequest extension;
  extension.set_counters(true);
  request.mutable_extensions()->PackFrom(extension);
  return request;
}

}  // namespace sluice::cli
