// SPDX-License-Identifier: Apache-2.0
// One flow as a line for people or for machines. Pure.
#pragma once

#include <string>

#include "cli/table.h"
#include "hubble/observer/observer.pb.h"

namespace sluice::cli {

// The parts of a flow's line; the opener of the flow is always on the left.
struct FlowText {
  std::string time;   // local, "Jan  2 15:04:05.000"
  std::string left;   // "demo/client:43210", "203.0.113.9:53 (world)"
  std::string arrow;  // "->": from left, "<-": a reply, "<>": nobody knows
  std::string right;
  std::string point;    // "to-endpoint"
  std::string verdict;  // "FORWARDED", "DROPPED SPOOFED_SOURCE"
  Style style = Style::kPlain;
  std::string summary;  // "TCP Flags: SYN"
  std::string detail;   // drops: what the reason means
};

FlowText flow_text(const ::flow::Flow& flow);

// Flow: its line; lost events and node changes: a line that says so. No newline at the end.
std::string compact_line(const observer::GetFlowsResponse& response, bool color);
// One JSON object, as Hubble's own client prints it. No newline at the end.
std::string json_line(const observer::GetFlowsResponse& response);

}  // namespace sluice::cli
