// SPDX-License-Identifier: Apache-2.0
// Ports of source translation against what sockets of the host and Kubernetes use.
#include <charconv>
#include <optional>

#include "agent/config/config.h"

namespace sluice {
namespace {

struct Range {
  uint32_t first = 0;
  uint32_t last = 0;
};

constexpr Range kNodePorts{30000, 32767};

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<uint32_t> parse_port(std::string_view text) {
  uint32_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port > 65535) return std::nullopt;
  return port;
}

// "A<separator>B", also "A" alone where the separator is '-'.
std::optional<Range> parse_range(std::string_view text, std::string_view separators) {
  text = trimmed(text);
  const size_t at = text.find_first_of(separators);
  const auto first = parse_port(trimmed(text.substr(0, at)));
  if (!first) return std::nullopt;
  if (at == std::string_view::npos) return Range{*first, *first};
  const auto last = parse_port(trimmed(text.substr(at + 1)));
  if (!last || *last < *first) return std::nullopt;
  return Range{*first, *last};
}

std::optional<std::vector<Range>> parse_reserved(std::string_view text) {
  std::vector<Range> ranges;
  text = trimmed(text);
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const auto range = parse_range(text.substr(0, comma), "-");
    if (!range) return std::nullopt;
    ranges.push_back(*range);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return ranges;
}

bool holds(const Range& range, uint32_t port) {
  return port >= range.first && port <= range.last;
}

std::string text_of(const Range& range) {
  return std::to_string(range.first) + "-" + std::to_string(range.last);
}

}  // namespace

Result<std::vector<std::string>> check_snat_ports(const NodeSettings& node,
                                                  std::string_view local_port_range,
                                                  std::string_view reserved) {
  std::vector<std::string> warnings;
  if (!node.translate) return warnings;
  const auto local = parse_range(local_port_range, " \t");
  if (!local || local->first == local->last) {
    return fail(ErrorCode::kInvalid, "net.ipv4.ip_local_port_range: \"" +
                                         std::string(local_port_range) + "\" is not two ports");
  }
  const auto reserved_ranges = parse_reserved(reserved);
  if (!reserved_ranges) {
    return fail(ErrorCode::kInvalid, "net.ipv4.ip_local_reserved_ports: \"" +
                                         std::string(reserved) + "\" is not a list of ports");
  }
  const Range snat{node.snat_port_min, node.snat_port_max};
  for (uint32_t port = snat.first; port <= snat.last; ++port) {
    bool taken = holds(*local, port);
    for (const Range& range : *reserved_ranges) taken = taken && !holds(range, port);
    if (!taken) continue;
    return fail(
        ErrorCode::kInvalid,
        "snat.portMin, snat.portMax: port " + std::to_string(port) + " of " + text_of(snat) +
            " is also in net.ipv4.ip_local_port_range " + text_of(*local) +
            ", from which sockets of the host are given theirs; choose other ports, or add " +
            text_of(snat) + " to net.ipv4.ip_local_reserved_ports");
  }
  if (snat.first <= kNodePorts.last && kNodePorts.first <= snat.last) {
    warnings.push_back("snat.portMin, snat.portMax: " + text_of(snat) + " overlaps " +
                       text_of(kNodePorts) + ", the default range of NodePort services");
  }
  return warnings;
}

}  // namespace sluice
