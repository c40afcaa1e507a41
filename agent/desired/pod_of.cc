// SPDX-License-Identifier: Apache-2.0
// Which pod of the intent a local endpoint is.
#include "agent/desired/pod_of.h"

#include <string_view>
#include <utility>

#include "bpf/abi/endpoint.h"

namespace sluice {
namespace {

bool may_run_here(const PodIntent& pod, const Desired& desired) {
  return pod.node.empty() || pod.node == desired.settings.node_name;
}

const PodIntent* pod_of_container(const Desired& desired, std::string_view container_id) {
  for (size_t dash = container_id.find('-'); dash != std::string_view::npos;
       dash = container_id.find('-', dash + 1)) {
    const PodIntent* pod =
        find_pod(desired.intent, container_id.substr(0, dash), container_id.substr(dash + 1));
    if (pod != nullptr && may_run_here(*pod, desired)) return pod;
  }
  return nullptr;
}

}  // namespace

EndpointPod pod_of(const Desired& desired, const LocalEndpoint& endpoint) {
  const bool named = !endpoint.pod_name.empty();
  const PodIntent* pod = nullptr;
  if (named) {
    pod = find_pod(desired.intent, endpoint.pod_namespace, endpoint.pod_name);
    // A pod of the same name that came before or after this one may have had other labels.
    if (pod != nullptr && !pod->uid.empty() && !endpoint.pod_uid.empty() &&
        pod->uid != endpoint.pod_uid)
      pod = nullptr;
  } else {
    pod = pod_of_container(desired, endpoint.container_id);
  }
  if (pod == nullptr) {
    if (named)
      return {.namespace_name = endpoint.pod_namespace,
              .name = endpoint.pod_name,
              .pod = nullptr,
              .identity = IDENTITY_INIT};
    return {.namespace_name = "",
            .name = endpoint.container_id,
            .pod = nullptr,
            .identity = IDENTITY_UNMANAGED};
  }
  const auto number = desired.identity_numbers.find(pod->identity);
  return {.namespace_name = pod->namespace_name,
          .name = pod->name,
          .pod = pod,
          .identity = number == desired.identity_numbers.end() ? IDENTITY_INIT : number->second};
}

}  // namespace sluice
