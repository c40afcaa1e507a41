// SPDX-License-Identifier: Apache-2.0
#include "cli/flow_text.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <ctime>

#include "cli/format.h"
#include "hubble/flow/counters.pb.h"

namespace sluice::cli {

namespace {

constexpr std::string_view kReservedLabel = "reserved:";

std::string time_text(const google::protobuf::Timestamp& time) {
  const std::time_t seconds = time.seconds();
  std::tm local{};
  localtime_r(&seconds, &local);
  std::array<char, 32> date{};
  std::strftime(date.data(), date.size(), "%b %e %H:%M:%S", &local);
  std::array<char, 8> fraction{};
  std::snprintf(fraction.data(), fraction.size(), ".%03d",
                static_cast<int>(time.nanos() / 1000000) % 1000);
  return std::string(date.data()) + fraction.data();
}

// The pod where there is one; else the address and who it belongs to.
std::string end_text(const ::flow::Endpoint& endpoint, const std::string& ip, uint32_t port) {
  if (!endpoint.pod_name().empty()) {
    return endpoint_text(endpoint.namespace_() + "/" + endpoint.pod_name(), port);
  }
  std::string text = endpoint_text(ip.empty() ? "?" : ip, port);
  for (const std::string& label : endpoint.labels()) {
    if (label.rfind(kReservedLabel, 0) == 0) {
      return text + " (" + label.substr(kReservedLabel.size()) + ")";
    }
  }
  return text;
}

std::pair<uint32_t, uint32_t> ports(const ::flow::Layer4& l4) {
  switch (l4.protocol_case()) {
    case ::flow::Layer4::kTCP:
      return {l4.tcp().source_port(), l4.tcp().destination_port()};
    case ::flow::Layer4::kUDP:
      return {l4.udp().source_port(), l4.udp().destination_port()};
    case ::flow::Layer4::kSCTP:
      return {l4.sctp().source_port(), l4.sctp().destination_port()};
    default:
      return {0, 0};
  }
}

std::string tcp_flags(const ::flow::TCPFlags& flags) {
  const std::array<std::pair<bool, const char*>, 8> known = {{{flags.syn(), "SYN"},
                                                              {flags.fin(), "FIN"},
                                                              {flags.rst(), "RST"},
                                                              {flags.psh(), "PSH"},
                                                              {flags.ack(), "ACK"},
                                                              {flags.urg(), "URG"},
                                                              {flags.ece(), "ECE"},
                                                              {flags.cwr(), "CWR"}}};
  std::string text;
  for (const auto& [set, name] : known) {
    if (set) text += (text.empty() ? "" : ", ") + std::string(name);
  }
  return text;
}

std::string summary_text(const ::flow::Flow& flow) {
  if (!flow.summary().empty()) return flow.summary();
  switch (flow.l4().protocol_case()) {
    case ::flow::Layer4::kTCP: {
      const std::string flags = tcp_flags(flow.l4().tcp().flags());
      return flags.empty() ? "TCP" : "TCP Flags: " + flags;
    }
    case ::flow::Layer4::kUDP:
      return "UDP";
    case ::flow::Layer4::kSCTP:
      return "SCTP";
    case ::flow::Layer4::kICMPv4:
      return "ICMPv4 type " + std::to_string(flow.l4().icmpv4().type());
    case ::flow::Layer4::kICMPv6:
      return "ICMPv6 type " + std::to_string(flow.l4().icmpv6().type());
    default:
      return "";
  }
}

std::string enum_text(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return c == '_' ? '-' : static_cast<char>(std::tolower(c));
  });
  return name;
}

Style verdict_style(::flow::Verdict verdict) {
  switch (verdict) {
    case ::flow::FORWARDED:
    case ::flow::REDIRECTED:
    case ::flow::TRANSLATED:
      return Style::kGood;
    case ::flow::DROPPED:
    case ::flow::ERROR:
      return Style::kBad;
    case ::flow::AUDIT:
      return Style::kWarn;
    default:
      return Style::kPlain;
  }
}

// Our own reason where the server sent it: it is finer than Hubble's list.
void add_drop(const ::flow::Flow& flow, FlowText& text) {
  if (flow.verdict() != ::flow::DROPPED) return;
  flow::v1::Counters counters;
  if (flow.has_extensions() && flow.extensions().UnpackTo(&counters) &&
      !counters.drop_reason().empty()) {
    std::string reason = counters.drop_reason();
    std::transform(reason.begin(), reason.end(), reason.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    text.verdict += " " + reason;
    text.detail = counters.drop_explanation();
    if (counters.suppressed() != 0) {
      text.detail += (text.detail.empty() ? "" : "; ") + std::to_string(counters.suppressed()) +
                     " more like it before";
    }
    return;
  }
  const std::string name = ::flow::DropReason_Name(flow.drop_reason_desc());
  text.verdict += " " + (name.empty() ? "reason " + std::to_string(flow.drop_reason()) : name);
}

bool is_spoofed(const ::flow::Flow& flow) {
  flow::v1::Counters counters;
  return flow.verdict() == ::flow::DROPPED && !flow.source().pod_name().empty() &&
         flow.ip().source() != "::" &&  // of ARP, which has none here
         flow.has_extensions() && flow.extensions().UnpackTo(&counters) &&
         counters.drop_reason() == "SPOOFED_SOURCE";
}

std::string lost_text(const ::flow::LostEvent& lost) {
  return plural(lost.num_events_lost(), "event") + " lost in " +
         enum_text(::flow::LostEventSource_Name(lost.source()));
}

std::string node_text(const relay::NodeStatusEvent& status) {
  std::string names;
  for (const std::string& name : status.node_names()) names += " " + name;
  return enum_text(relay::NodeState_Name(status.state_change())) + ":" + names +
         (status.message().empty() ? "" : " (" + status.message() + ")");
}

}  // namespace

FlowText flow_text(const ::flow::Flow& flow) {
  FlowText text;
  const auto [source_port, destination_port] = ports(flow.l4());
  text.time = time_text(flow.time());
  text.left = end_text(flow.source(), flow.ip().source(), source_port);
  // The server names the pod behind the device; the address that it wrote is the news.
  if (is_spoofed(flow)) text.left += " as " + flow.ip().source();
  text.right = end_text(flow.destination(), flow.ip().destination(), destination_port);
  text.arrow = flow.has_is_reply() ? "->" : "<>";
  if (flow.has_is_reply() && flow.is_reply().value()) {
    std::swap(text.left, text.right);
    text.arrow = "<-";
  }
  if (flow.trace_observation_point() != ::flow::UNKNOWN_POINT) {
    text.point = enum_text(::flow::TraceObservationPoint_Name(flow.trace_observation_point()));
  }
  text.verdict = ::flow::Verdict_Name(flow.verdict());
  text.style = verdict_style(flow.verdict());
  text.summary = summary_text(flow);
  add_drop(flow, text);
  return text;
}

std::string compact_line(const observer::GetFlowsResponse& response, bool color) {
  switch (response.response_types_case()) {
    case observer::GetFlowsResponse::kLostEvents:
      return styled("-- " + lost_text(response.lost_events()), Style::kWarn, color);
    case observer::GetFlowsResponse::kNodeStatus:
      return styled("-- " + node_text(response.node_status()), Style::kWarn, color);
    case observer::GetFlowsResponse::kFlow:
      break;
    default:
      return styled("-- an event of a kind that this version does not know", Style::kWarn, color);
  }
  const FlowText text = flow_text(response.flow());
  std::string line =
      styled(text.time, Style::kDim, color) + " " + text.left + " " + text.arrow + " " + text.right;
  if (!text.point.empty()) line += " " + text.point;
  line += " " + styled(text.verdict, text.style, color);
  if (!text.summary.empty()) line += " (" + text.summary + ")";
  if (!text.detail.empty()) line += ": " + text.detail;
  return line;
}

std::string json_line(const observer::GetFlowsResponse& response) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(response, &text, options);
  // An extension of a type that is not linked here is the only thing that can fail: print without
  // it.
  if (!status.ok()) {
    observer::GetFlowsResponse plain = response;
    plain.mutable_flow()->clear_extensions();
    text.clear();
    if (!google::protobuf::util::MessageToJsonString(plain, &text, options).ok()) return "{}";
  }
  return text;
}

}  // namespace sluice::cli
