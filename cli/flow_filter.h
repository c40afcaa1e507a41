// SPDX-License-Identifier: Apache-2.0
// From the flags of `sluice observe` to the request that the Observer understands. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hubble/observer/observer.pb.h"
#include "lib/result/result.h"

namespace sluice::cli {

// Each flag may be given several times: its values are alternatives, different flags must all hold.
struct FlowFlags {
  bool follow = false;
  std::vector<std::string> pods;       // "ns/prefix", either end
  std::vector<std::string> from_pods;  // the sender
  std::vector<std::string> to_pods;
  std::vector<std::string> ips;    // address or prefix, either end
  std::vector<std::string> ports;  // either end
  std::vector<std::string> protocols;
  std::vector<std::string> verdicts;
  std::string
      pod_namespace;  // alone: pods of it at either end; with a pod flag: of names without one
  uint64_t last = 0;  // 0: 20, or none of the past with follow, or all with since
  std::string since;  // "5m", or RFC 3339
  // Our extension of each flow: counters and the drop reason in full. Clients of Hubble cannot read
  // JSON that has it.
  bool counters = false;
};

inline constexpr uint64_t kLastDefault = 20;

// now_ms: wall clock. kInvalid names the flag.
Result<observer::GetFlowsRequest> flows_request(const FlowFlags& flags, int64_t now_ms);

}  // namespace sluice::cli
