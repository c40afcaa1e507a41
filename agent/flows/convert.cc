// SPDX-License-Identifier: Apache-2.0
#include "agent/flows/convert.h"

#include <arpa/inet.h>
#include <google/protobuf/timestamp.pb.h>
#include <netinet/in.h>

#include <utility>

#include "bpf/abi/ct.h"
#include "lib/ip/ip.h"
#include "lib/verdict/names.h"

namespace sluice {

namespace {

// Types of the monitor's messages, and the numbers that it gives to observation points.
constexpr int32_t kTypeDrop = 1;
constexpr int32_t kTypeTrace = 4;

constexpr int64_t kSecondNs = 1'000'000'000;

struct TcpFlagName {
  uint8_t bit;
  const char* name;
};
constexpr TcpFlagName kTcpFlags[] = {{0x02, "SYN"}, {0x10, "ACK"}, {0x01, "FIN"}, {0x04, "RST"},
                                     {0x08, "PSH"}, {0x20, "URG"}, {0x40, "ECE"}, {0x80, "CWR"}};

void set_timestamp(int64_t unix_ns, google::protobuf::Timestamp* timestamp) {
  timestamp->set_seconds(unix_ns / kSecondNs);
  timestamp->set_nanos(static_cast<int32_t>(unix_ns % kSecondNs));
}

void fill_endpoint(const Party& party, ::flow::Endpoint* endpoint) {
  endpoint->set_id(party.endpoint_id);
  endpoint->set_identity(party.identity);
  endpoint->set_namespace_(party.namespace_name);
  endpoint->set_pod_name(party.pod_name);
  for (const std::string& label : party.labels) endpoint->add_labels(label);
  if (party.workload_name.empty()) return;
  ::flow::Workload* workload = endpoint->add_workloads();
  workload->set_name(party.workload_name);
  workload->set_kind(party.workload_kind);
}

void fill_tcp_flags(uint8_t bits, ::flow::TCPFlags* flags) {
  flags->set_fin((bits & 0x01) != 0);
  flags->set_syn((bits & 0x02) != 0);
  flags->set_rst((bits & 0x04) != 0);
  flags->set_psh((bits & 0x08) != 0);
  flags->set_ack((bits & 0x10) != 0);
  flags->set_urg((bits & 0x20) != 0);
  flags->set_ece((bits & 0x40) != 0);
  flags->set_cwr((bits & 0x80) != 0);
}

template <class Ports>
void fill_ports(const flow_event& event, Ports* ports) {
  ports->set_source_port(ntohs(event.sport_be));
  ports->set_destination_port(ntohs(event.dport_be));
}

template <class Icmp>
void fill_icmp(const flow_event& event, Icmp* icmp) {
  icmp->set_type(event.icmp_type);
  icmp->set_code(event.icmp_code);
}

void fill_layer4(const flow_event& event, ::flow::Layer4* layer4) {
  switch (event.proto) {
    case IPPROTO_TCP:
      fill_ports(event, layer4->mutable_tcp());
      fill_tcp_flags(event.tcp_flags, layer4->mutable_tcp()->mutable_flags());
      break;
    case IPPROTO_UDP:
      fill_ports(event, layer4->mutable_udp());
      break;
    case IPPROTO_SCTP:
      fill_ports(event, layer4->mutable_sctp());
      break;
    case IPPROTO_ICMP:
      fill_icmp(event, layer4->mutable_icmpv4());
      break;
    case IPPROTO_ICMPV6:
      fill_icmp(event, layer4->mutable_icmpv6());
      break;
    default:
      break;
  }
}

std::string tcp_summary(uint8_t bits) {
  std::string text = "TCP Flags: ";
  bool first = true;
  for (const TcpFlagName& flag : kTcpFlags) {
    if ((bits & flag.bit) == 0) continue;
    if (!first) text += ", ";
    text += flag.name;
    first = false;
  }
  return text;
}

struct IcmpName {
  uint8_t type;
  const char* name;
};
constexpr IcmpName kIcmp4[] = {{0, "EchoReply"},     {3, "DestinationUnreachable"},
                               {5, "Redirect"},      {8, "EchoRequest"},
                               {11, "TimeExceeded"}, {12, "ParameterProblem"}};
constexpr IcmpName kIcmp6[] = {
    {1, "DestinationUnreachable"},  {2, "PacketTooBig"},          {3, "TimeExceeded"},
    {4, "ParameterProblem"},        {128, "EchoRequest"},         {129, "EchoReply"},
    {133, "RouterSolicitation"},    {134, "RouterAdvertisement"}, {135, "NeighborSolicitation"},
    {136, "NeighborAdvertisement"}, {143, "MLDv2Report"}};

template <size_t kCount>
std::string icmp_summary(const char* family, const IcmpName (&names)[kCount],
                         const flow_event& event) {
  std::string text = family;
  for (const IcmpName& row : names) {
    if (row.type == event.icmp_type) return text + " " + row.name;
  }
  return text + " type " + std::to_string(event.icmp_type) + " code " +
         std::to_string(event.icmp_code);
}

void fill_verdict(const EnrichedFlow& flow, ::flow::Flow* out) {
  out->set_verdict(verdict(flow));
  if (is_drop(flow)) {
    const uint32_t reason = hubble_drop_reason(flow.event.reason);
    out->set_drop_reason(reason);
    out->set_drop_reason_desc(static_cast<::flow::DropReason>(reason));
    // Of a packet that was dropped before conntrack saw it nobody knows which end opened the flow.
    return;
  }
  out->set_reply(flow.event.is_reply != 0);
  out->mutable_is_reply()->set_value(flow.event.is_reply != 0);
  out->set_trace_observation_point(observation_point(flow));
  if (flow.event.is_reply != 0) {
    out->set_trace_reason(::flow::REPLY);
  } else {
    out->set_trace_reason(flow.event.kind == EVENT_FLOW_OPEN ? ::flow::NEW : ::flow::ESTABLISHED);
  }
}

}  // namespace

bool has_ports(uint8_t protocol) {
  return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

::flow::Verdict verdict(const EnrichedFlow& flow) {
  return is_drop(flow) ? ::flow::DROPPED : ::flow::FORWARDED;
}

::flow::IPVersion ip_version(const EnrichedFlow& flow) {
  return from_abi(flow.event.src).is_ipv4() ? ::flow::IPv4 : ::flow::IPv6;
}

::flow::TrafficDirection traffic_direction(const EnrichedFlow& flow) {
  return direction(flow) == Direction::kEgress ? ::flow::EGRESS : ::flow::INGRESS;
}

::flow::TraceObservationPoint observation_point(const EnrichedFlow& flow) {
  switch (flow.event.hook) {
    case HOOK_POD_EGRESS:
      return ::flow::FROM_ENDPOINT;
    case HOOK_POD_INGRESS:
      return ::flow::TO_ENDPOINT;
    case HOOK_UPLINK_INGRESS:
      return flow.device->overlay ? ::flow::FROM_OVERLAY : ::flow::FROM_NETWORK;
    case HOOK_UPLINK_EGRESS:
      return flow.device->overlay ? ::flow::TO_OVERLAY : ::flow::TO_NETWORK;
    default:
      return ::flow::UNKNOWN_POINT;
  }
}

::flow::CiliumEventType event_type(const EnrichedFlow& flow) {
  ::flow::CiliumEventType type;
  if (is_drop(flow)) {
    type.set_type(kTypeDrop);
    type.set_sub_type(static_cast<int32_t>(hubble_drop_reason(flow.event.reason)));
    return type;
  }
  type.set_type(kTypeTrace);
  // The monitor's number equals the API's, but for TO_ENDPOINT, which is 0 there.
  const ::flow::TraceObservationPoint point = observation_point(flow);
  type.set_sub_type(point == ::flow::TO_ENDPOINT ? 0 : static_cast<int32_t>(point));
  return type;
}

std::string summary(const EnrichedFlow& flow) {
  switch (flow.event.proto) {
    case IPPROTO_TCP:
      return tcp_summary(flow.event.tcp_flags);
    case IPPROTO_UDP:
      return "UDP";
    case IPPROTO_SCTP:
      return "SCTP";
    case IPPROTO_ICMP:
      return icmp_summary("ICMPv4", kIcmp4, flow.event);
    case IPPROTO_ICMPV6:
      return icmp_summary("ICMPv6", kIcmp6, flow.event);
    default:
      return "protocol " + std::to_string(flow.event.proto);
  }
}

::flow::Flow to_proto(const EnrichedFlow& flow, const std::string& node_name) {
  ::flow::Flow out;
  set_timestamp(flow.time_unix_ns, out.mutable_time());
  out.set_uuid(format_uuid(flow.uuid));
  fill_verdict(flow, &out);
  ::flow::IP* ip = out.mutable_ip();
  ip->set_source(to_string(from_abi(flow.event.src)));
  ip->set_destination(to_string(from_abi(flow.event.dst)));
  ip->set_ipversion(ip_version(flow));
  fill_layer4(flow.event, out.mutable_l4());
  fill_endpoint(*flow.source, out.mutable_source());
  fill_endpoint(*flow.destination, out.mutable_destination());
  out.set_type(::flow::L3_L4);
  out.set_node_name(node_name);
  *out.mutable_event_type() = event_type(flow);
  out.set_traffic_direction(traffic_direction(flow));
  out.mutable_interface()->set_index(flow.device->ifindex);
  out.mutable_interface()->set_name(flow.device->name);
  out.set_summary(summary(flow));
  return out;
}

::flow::LostEvent to_proto(const LostEvents& lost, ::flow::LostEventSource source) {
  ::flow::LostEvent out;
  out.set_source(source);
  out.set_num_events_lost(lost.count);
  set_timestamp(lost.first_unix_ns, out.mutable_first());
  set_timestamp(lost.last_unix_ns, out.mutable_last());
  return out;
}

sluice::flow::v1::Counters counters(const EnrichedFlow& flow) {
  using Counters = sluice::flow::v1::Counters;
  const flow_event& event = flow.event;
  Counters out;
  out.set_packet_bytes(event.packet_len);
  out.set_hook(hook_name(event.hook));
  if (is_drop(flow)) {
    out.set_kind(Counters::DROP);
    out.set_drop_reason(drop_reason_name(event.reason));
    out.set_drop_explanation(drop_reason_text(event.reason));
    out.set_suppressed(event.suppressed);
    return out;
  }
  out.set_kind(
      static_cast<Counters::Kind>(event.kind));  // same numbers as enum event_kind, asserted below
  out.set_opener_packets(event.packets[CT_FROM_OPENER]);
  out.set_opener_bytes(event.bytes[CT_FROM_OPENER]);
  out.set_replier_packets(event.packets[CT_FROM_REPLIER]);
  out.set_replier_bytes(event.bytes[CT_FROM_REPLIER]);
  if (event.created_ns != 0 && event.time_ns > event.created_ns)
    out.set_age_ns(event.time_ns - event.created_ns);
  return out;
}

static_assert(static_cast<int>(sluice::flow::v1::Counters::OPEN) == EVENT_FLOW_OPEN);
static_assert(static_cast<int>(sluice::flow::v1::Counters::UPDATE) == EVENT_FLOW_UPDATE);
static_assert(static_cast<int>(sluice::flow::v1::Counters::CLOSE) == EVENT_FLOW_CLOSE);

}  // namespace sluice
