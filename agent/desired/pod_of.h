// SPDX-License-Identifier: Apache-2.0
// Which pod of the intent a local endpoint is. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "agent/desired/desired.h"

namespace sluice {

struct EndpointPod {
  std::string namespace_name;  // empty where no pod is known
  std::string name{};          // of the pod, else the container id
  const PodIntent* pod =
      nullptr;            // points into the intent; null where the intent has no such pod (yet)
  uint32_t identity = 0;  // the agent's number
};

// 1. The pod that CNI named (namespace, name; uid where both sides know one). Not in the intent
// yet: IDENTITY_INIT.
// 2. CNI named none: the pod of this node whose "<namespace>-<name>" is the container id, as `ctr
// --namespace NS run NAME`
//    makes it; of several, the one whose namespace is shortest.
// 3. Else no pod: IDENTITY_UNMANAGED.
// desired.intent must be sorted, as resolve gives it.
EndpointPod pod_of(const Desired& desired, const LocalEndpoint& endpoint);

}  // namespace sluice
