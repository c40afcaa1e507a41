// SPDX-License-Identifier: Apache-2.0
#include "agent/flows/filter_fields.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/flows/convert.h"
#include "agent/flows/selector.h"
#include "lib/ip/ip.h"
#include "lib/verdict/names.h"

namespace sluice {

namespace {

using ::flow::FlowFilter;
using Strings = google::protobuf::RepeatedPtrField<std::string>;
using PartyOf = const Party& (*)(const EnrichedFlow&);

const Party& source(const EnrichedFlow& flow) {
  return *flow.source;
}
const Party& destination(const EnrichedFlow& flow) {
  return *flow.destination;
}

template <class Values, class Value>
bool lists(const Values& values, const Value& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

// "10.0.0.1" or "10.0.0.7/24": bits outside the mask count for nothing.
Result<Prefix> parse_range(const std::string& text) {
  const size_t slash = text.find('/');
  auto address = parse_address(std::string_view(text).substr(0, slash));
  if (!address) return fail(address.error());
  if (slash == std::string::npos) return host_prefix(*address);
  const unsigned family_bits = address->is_ipv4() ? 32 : 128;
  unsigned bits = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + slash + 1, end, bits);
  if (parsed.ec != std::errc() || parsed.ptr != end || bits > family_bits) {
    return fail(ErrorCode::kInvalid,
                "\"" + text + "\": the prefix length must be 0.." + std::to_string(family_bits));
  }
  bits += 128 - family_bits;
  for (unsigned i = bits; i < 128; ++i) {
    address->bytes[i / 8] = static_cast<uint8_t>(address->bytes[i / 8] & ~(0x80U >> (i % 8)));
  }
  return Prefix{.address = *address, .length = static_cast<uint8_t>(bits)};
}

Result<FlowPredicate> by_address(const Strings& texts, ip_addr flow_event::* which) {
  std::vector<Prefix> ranges;
  for (const std::string& text : texts) {
    auto range = parse_range(text);
    if (!range) return fail(range.error());
    ranges.push_back(*range);
  }
  return [ranges = std::move(ranges), which](const EnrichedFlow& flow) {
    const Address address = from_abi(flow.event.*which);
    // ::/0 means every IPv6 address: the mapped IPv4 ones are not meant.
    return std::any_of(ranges.begin(), ranges.end(), [&](const Prefix& range) {
      return contains(range, address) && range.address.is_ipv4() == address.is_ipv4();
    });
  };
}

Result<FlowPredicate> by_port(const Strings& texts, __be16 flow_event::* which) {
  std::vector<uint16_t> ports;
  for (const std::string& text : texts) {
    uint16_t port = 0;
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, port);
    if (parsed.ec != std::errc() || parsed.ptr != end) {
      return fail(ErrorCode::kInvalid, "\"" + text + "\" is not a port");
    }
    ports.push_back(port);
  }
  return [ports = std::move(ports), which](const EnrichedFlow& flow) {
    return has_ports(flow.event.proto) && lists(ports, ntohs(flow.event.*which));
  };
}

// "ns/prefix", "ns/", "/prefix" (any namespace), "prefix" (in "default").
Result<FlowPredicate> by_pod(const Strings& texts, PartyOf party_of) {
  std::vector<std::pair<std::string, std::string>> wanted;
  for (const std::string& text : texts) {
    const size_t slash = text.find('/');
    if (text.empty() ||
        text.find('/', slash == std::string::npos ? 0 : slash + 1) != std::string::npos) {
      return fail(ErrorCode::kInvalid, "\"" + text + "\" is not namespace/pod-prefix");
    }
    if (slash == std::string::npos) {
      wanted.emplace_back("default", text);
    } else {
      wanted.emplace_back(text.substr(0, slash), text.substr(slash + 1));
    }
  }
  return [wanted = std::move(wanted), party_of](const EnrichedFlow& flow) {
    const Party& party = party_of(flow);
    if (party.namespace_name.empty() && party.pod_name.empty()) return false;
    return std::any_of(wanted.begin(), wanted.end(), [&](const auto& row) {
      return (row.first.empty() || row.first == party.namespace_name) &&
             party.pod_name.starts_with(row.second);
    });
  };
}

Result<FlowPredicate> by_labels(const Strings& texts, PartyOf party_of) {
  std::vector<LabelSelector> selectors;
  for (const std::string& text : texts) {
    auto selector = LabelSelector::parse(text);
    if (!selector) return fail(selector.error());
    selectors.push_back(std::move(*selector));
  }
  return [selectors = std::move(selectors), party_of](const EnrichedFlow& flow) {
    const Party& party = party_of(flow);
    return std::any_of(selectors.begin(), selectors.end(), [&](const LabelSelector& selector) {
      return selector.matches(party.labels);
    });
  };
}

template <class Workloads>
Result<FlowPredicate> by_workload(const Workloads& workloads, PartyOf party_of) {
  return [rows = std::vector<::flow::Workload>(workloads.begin(), workloads.end()),
          party_of](const EnrichedFlow& flow) {
    const Party& party = party_of(flow);
    if (party.workload_name.empty()) return false;
    return std::any_of(rows.begin(), rows.end(), [&](const ::flow::Workload& row) {
      return (row.name().empty() || row.name() == party.workload_name) &&
             (row.kind().empty() || row.kind() == party.workload_kind);
    });
  };
}

template <class Numbers>
Result<FlowPredicate> by_identity(const Numbers& numbers, PartyOf party_of) {
  return [rows = std::vector<uint32_t>(numbers.begin(), numbers.end()),
          party_of](const EnrichedFlow& flow) { return lists(rows, party_of(flow).identity); };
}

// One of a list of enum values against a function of the flow.
template <class Enum, class Values>
FlowPredicate by_enum(const Values& values, Enum (*value_of)(const EnrichedFlow&)) {
  return [rows = std::vector<int>(values.begin(), values.end()), value_of](
             const EnrichedFlow& flow) { return lists(rows, static_cast<int>(value_of(flow))); };
}

Result<FlowPredicate> by_event_type(const FilterInput& in) {
  return [rows = std::vector<::flow::EventTypeFilter>(in.filter.event_type().begin(),
                                                      in.filter.event_type().end())](
             const EnrichedFlow& flow) {
    const ::flow::CiliumEventType type = event_type(flow);
    return std::any_of(rows.begin(), rows.end(), [&](const ::flow::EventTypeFilter& row) {
      return (row.type() == 0 || row.type() == type.type()) &&
             (!row.match_sub_type() || row.sub_type() == type.sub_type());
    });
  };
}

Result<FlowPredicate> by_protocol(const FilterInput& in) {
  std::vector<uint8_t> protocols;
  for (std::string text : in.filter.protocol()) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (text == "icmp" || text == "icmpv4") protocols.push_back(IPPROTO_ICMP);
    if (text == "icmp" || text == "icmpv6") protocols.push_back(IPPROTO_ICMPV6);
    if (text == "tcp") protocols.push_back(IPPROTO_TCP);
    if (text == "udp") protocols.push_back(IPPROTO_UDP);
    if (text == "sctp") protocols.push_back(IPPROTO_SCTP);
    if (text != "icmp" && text != "icmpv4" && text != "icmpv6" && text != "tcp" && text != "udp" &&
        text != "sctp") {
      return fail(ErrorCode::kInvalid, "protocol \"" + text +
                                           "\" is not supported (tcp, udp, sctp, icmp, "
                                           "icmpv4, icmpv6)");
    }
  }
  return [protocols = std::move(protocols)](const EnrichedFlow& flow) {
    return lists(protocols, flow.event.proto);
  };
}

// A drop of which nobody knows the direction counts as no reply, as with Hubble.
Result<FlowPredicate> by_reply(const FilterInput& in) {
  return [rows = std::vector<bool>(in.filter.reply().begin(), in.filter.reply().end())](
             const EnrichedFlow& flow) {
    return lists(rows, !is_drop(flow) && flow.event.is_reply != 0);
  };
}

uint8_t flag_bits(const ::flow::TCPFlags& flags) {
  return static_cast<uint8_t>((flags.fin() ? 0x01 : 0) | (flags.syn() ? 0x02 : 0) |
                              (flags.rst() ? 0x04 : 0) | (flags.psh() ? 0x08 : 0) |
                              (flags.ack() ? 0x10 : 0) | (flags.urg() ? 0x20 : 0) |
                              (flags.ece() ? 0x40 : 0) | (flags.cwr() ? 0x80 : 0));
}

Result<FlowPredicate> by_tcp_flags(const FilterInput& in) {
  std::vector<uint8_t> rows;
  for (const ::flow::TCPFlags& flags : in.filter.tcp_flags()) {
    if (flags.ns()) return fail(ErrorCode::kInvalid, "NS is not recorded");
    rows.push_back(flag_bits(flags));
  }
  return [rows = std::move(rows)](const EnrichedFlow& flow) {
    if (flow.event.proto != IPPROTO_TCP) return false;
    return std::any_of(rows.begin(), rows.end(),
                       [&](uint8_t bits) { return (flow.event.tcp_flags & bits) == bits; });
  };
}

// '*' stands for any run of letters, digits, '.' and '-'.
bool glob_matches(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern.front() != '*') {
    return !text.empty() && text.front() == pattern.front() &&
           glob_matches(pattern.substr(1), text.substr(1));
  }
  for (size_t i = 0;; ++i) {
    if (glob_matches(pattern.substr(1), text.substr(i))) return true;
    if (i == text.size() || (std::isalnum(static_cast<unsigned char>(text[i])) == 0 &&
                             text[i] != '.' && text[i] != '-')) {
      return false;
    }
  }
}

// "node", "cluster/node", "cluster/"; our cluster is called "default". All flows are of one node,
// so the answer is known before the first.
Result<FlowPredicate> by_node_name(const FilterInput& in) {
  bool wanted = false;
  for (const std::string& text : in.filter.node_name()) {
    const size_t slash = text.find('/');
    const bool has_cluster = slash != std::string::npos;
    const std::string cluster = has_cluster ? text.substr(0, slash) : "";
    const std::string node = has_cluster ? text.substr(slash + 1) : text;
    if (text.empty() || node.find('/') != std::string::npos ||
        std::count(text.begin(), text.end(), '*') > 8) {
      return fail(ErrorCode::kInvalid, "\"" + text + "\" is not [cluster/]node with at most 8 '*'");
    }
    wanted = wanted || ((cluster.empty() || glob_matches(cluster, "default")) &&
                        (node.empty() || glob_matches(node, in.node_name)));
  }
  return [wanted](const EnrichedFlow&) { return wanted; };
}

Result<FlowPredicate> by_uuid(const FilterInput& in) {
  return [rows = std::vector<std::string>(in.filter.uuid().begin(), in.filter.uuid().end())](
             const EnrichedFlow& flow) { return lists(rows, format_uuid(flow.uuid)); };
}

Result<FlowPredicate> by_drop_reason(const FilterInput& in) {
  return [rows = std::vector<int>(in.filter.drop_reason_desc().begin(),
                                  in.filter.drop_reason_desc().end())](const EnrichedFlow& flow) {
    return is_drop(flow) && lists(rows, static_cast<int>(hubble_drop_reason(flow.event.reason)));
  };
}

Result<FlowPredicate> by_interface(const FilterInput& in) {
  return
      [rows = std::vector<::flow::NetworkInterface>(
           in.filter.interface().begin(), in.filter.interface().end())](const EnrichedFlow& flow) {
        return std::any_of(rows.begin(), rows.end(), [&](const ::flow::NetworkInterface& row) {
          return (row.index() == 0 || row.index() == flow.device->ifindex) &&
                 (row.name().empty() || row.name() == flow.device->name);
        });
      };
}

}  // namespace

PredicateMaker predicate_maker(int field_number) {
  using In = const FilterInput&;
  switch (field_number) {
    case FlowFilter::kSourceIpFieldNumber:
      return [](In in) { return by_address(in.filter.source_ip(), &flow_event::src); };
    case FlowFilter::kDestinationIpFieldNumber:
      return [](In in) { return by_address(in.filter.destination_ip(), &flow_event::dst); };
    case FlowFilter::kSourcePortFieldNumber:
      return [](In in) { return by_port(in.filter.source_port(), &flow_event::sport_be); };
    case FlowFilter::kDestinationPortFieldNumber:
      return [](In in) { return by_port(in.filter.destination_port(), &flow_event::dport_be); };
    case FlowFilter::kSourcePodFieldNumber:
      return [](In in) { return by_pod(in.filter.source_pod(), source); };
    case FlowFilter::kDestinationPodFieldNumber:
      return [](In in) { return by_pod(in.filter.destination_pod(), destination); };
    case FlowFilter::kSourceLabelFieldNumber:
      return [](In in) { return by_labels(in.filter.source_label(), source); };
    case FlowFilter::kDestinationLabelFieldNumber:
      return [](In in) { return by_labels(in.filter.destination_label(), destination); };
    case FlowFilter::kSourceWorkloadFieldNumber:
      return [](In in) { return by_workload(in.filter.source_workload(), source); };
    case FlowFilter::kDestinationWorkloadFieldNumber:
      return [](In in) { return by_workload(in.filter.destination_workload(), destination); };
    case FlowFilter::kSourceIdentityFieldNumber:
      return [](In in) { return by_identity(in.filter.source_identity(), source); };
    case FlowFilter::kDestinationIdentityFieldNumber:
      return [](In in) { return by_identity(in.filter.destination_identity(), destination); };
    case FlowFilter::kVerdictFieldNumber:
      return [](In in) -> Result<FlowPredicate> { return by_enum(in.filter.verdict(), verdict); };
    case FlowFilter::kIpVersionFieldNumber:
      return [](In in) -> Result<FlowPredicate> {
        return by_enum(in.filter.ip_version(), ip_version);
      };
    case FlowFilter::kTrafficDirectionFieldNumber:
      return [](In in) -> Result<FlowPredicate> {
        return by_enum(in.filter.traffic_direction(), traffic_direction);
      };
    case FlowFilter::kEventTypeFieldNumber:
      return by_event_type;
    case FlowFilter::kProtocolFieldNumber:
      return by_protocol;
    case FlowFilter::kReplyFieldNumber:
      return by_reply;
    case FlowFilter::kTcpFlagsFieldNumber:
      return by_tcp_flags;
    case FlowFilter::kNodeNameFieldNumber:
      return by_node_name;
    case FlowFilter::kUuidFieldNumber:
      return by_uuid;
    case FlowFilter::kDropReasonDescFieldNumber:
      return by_drop_reason;
    case FlowFilter::kInterfaceFieldNumber:
      return by_interface;
    default:
      return nullptr;
  }
}

}  // namespace sluice
