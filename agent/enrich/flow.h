// SPDX-License-Identifier: Apache-2.0
// A flow event joined with who its ends are: what flows, metrics and later the run-time alerts
// read. Plain data.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/abi/event.h"
#include "bpf/abi/verdict.h"

namespace sluice {

// One end of a flow. Immutable and shared by all flows of that end, so that a stored flow costs no
// strings.
struct Party {
  uint32_t endpoint_id = 0;  // ifindex of the pod's host-side device; 0: not a pod of this node
  uint32_t identity = 0;  // as flow APIs show it: reserved number, or identity_hash of the content
  std::string namespace_name;
  std::string pod_name;
  std::string workload_kind;
  std::string workload_name;
  std::string node;                 // where it runs; empty where not known
  std::vector<std::string> labels;  // "k8s:app=web", "reserved:world"; sorted

  bool operator==(const Party&) const = default;
};

// The device at whose hook the event was made.
struct Device {
  uint32_t ifindex = 0;
  std::string name;  // empty where it is already gone
  bool overlay = false;

  bool operator==(const Device&) const = default;
};

struct EnrichedFlow {
  flow_event event{};  // as the kernel reported it
  int64_t time_unix_ns = 0;
  std::array<uint8_t, 16> uuid{};
  std::shared_ptr<const Party> source;  // never null
  std::shared_ptr<const Party> destination;
  std::shared_ptr<const Device> device;
};

enum class Direction : uint8_t { kIngress, kEgress };

bool is_drop(const EnrichedFlow& flow);
// Of the pod or the node: egress leaves it.
Direction direction(const EnrichedFlow& flow);
std::string format_uuid(const std::array<uint8_t, 16>& uuid);

}  // namespace sluice
