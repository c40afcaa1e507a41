// SPDX-License-Identifier: Apache-2.0
// Our flow in the words of the Hubble API.
#pragma once

#include <cstdint>
#include <string>

#include "agent/enrich/flow.h"
#include "agent/flows/flow_log.h"
#include "hubble/flow/counters.pb.h"
#include "hubble/flow/flow.pb.h"

namespace sluice {

// All pure; any thread. ::flow is the Hubble package, sluice::flow our own extension of it.

// `extensions` is left empty.
::flow::Flow to_proto(const EnrichedFlow& flow, const std::string& node_name);
::flow::LostEvent to_proto(const LostEvents& lost, ::flow::LostEventSource source);
sluice::flow::v1::Counters counters(const EnrichedFlow& flow);

::flow::CiliumEventType event_type(const EnrichedFlow& flow);
::flow::TraceObservationPoint observation_point(const EnrichedFlow& flow);
::flow::Verdict verdict(const EnrichedFlow& flow);
::flow::IPVersion ip_version(const EnrichedFlow& flow);
::flow::TrafficDirection traffic_direction(const EnrichedFlow& flow);
// Host order; false where the protocol has none.
bool has_ports(uint8_t protocol);
// "TCP Flags: SYN, ACK", "UDP", "ICMPv4 EchoRequest", "protocol 47"
std::string summary(const EnrichedFlow& flow);

}  // namespace sluice
