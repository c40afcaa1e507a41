// SPDX-License-Identifier: Apache-2.0
// Enriched flows for the tests of the flow log, its filters and its service.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <memory>
#include <string>
#include <vector>

#include "agent/enrich/flow.h"
#include "lib/ip/ip.h"

namespace sluice {

inline std::shared_ptr<const Party> sample_pod(const std::string& namespace_name,
                                               const std::string& name, uint32_t identity,
                                               std::vector<std::string> labels) {
  Party party;
  party.endpoint_id = 17;
  party.identity = identity;
  party.namespace_name = namespace_name;
  party.pod_name = name;
  party.workload_kind = "Deployment";
  party.workload_name = name.substr(0, name.find('-'));
  party.labels = std::move(labels);
  return std::make_shared<const Party>(std::move(party));
}

// demo/web-0 10.0.0.5:40000 -> shop/db-7 10.0.1.9:5432, TCP SYN, seen at pod_egress of sl01 at 1000
// s.
inline EnrichedFlow sample_flow(uint8_t kind = EVENT_FLOW_OPEN) {
  EnrichedFlow flow;
  flow.event.kind = kind;
  flow.event.version = EVENT_VERSION;
  flow.event.len = sizeof(flow_event);
  flow.event.ifindex = 17;
  flow.event.src = to_abi(parse_address("10.0.0.5").value());
  flow.event.dst = to_abi(parse_address("10.0.1.9").value());
  flow.event.sport_be = htons(40000);
  flow.event.dport_be = htons(5432);
  flow.event.proto = IPPROTO_TCP;
  flow.event.tcp_flags = 0x02;
  flow.event.hook = HOOK_POD_EGRESS;
  flow.event.packet_len = 60;
  flow.time_unix_ns = 1'000'000'000'000;
  flow.uuid = {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0x4d, 0xef, 0x80};
  flow.source = sample_pod("demo", "web-0", 5000, {"k8s:app=web", "k8s:tier=front"});
  flow.destination = sample_pod("shop", "db-7", 6000, {"k8s:app=db"});
  flow.device =
      std::make_shared<const Device>(Device{.ifindex = 17, .name = "sl01", .overlay = false});
  return flow;
}

inline EnrichedFlow sample_drop(uint8_t reason = DROP_POLICY_DENY) {
  EnrichedFlow flow = sample_flow(EVENT_DROP);
  flow.event.reason = reason;
  return flow;
}

// A flow whose source port and time tell it apart: port n, at n seconds.
inline EnrichedFlow numbered(uint16_t number) {
  EnrichedFlow flow = sample_flow();
  flow.event.sport_be = htons(number);
  flow.time_unix_ns = int64_t{number} * 1'000'000'000;
  return flow;
}

}  // namespace sluice
