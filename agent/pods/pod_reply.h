// SPDX-License-Identifier: Apache-2.0
// Answers of the CNI service that are no results, and what its parts read out of a request.
#pragma once

#include <string>

#include "agent/pods/endpoint_names.h"
#include "cni/v1/cni.pb.h"

namespace sluice {

inline cni::v1::CniResponse refusal(cni::v1::CniError code, std::string message,
                                    std::string details = {}) {
  cni::v1::CniResponse response;
  response.set_error_code(static_cast<uint32_t>(code));
  response.set_error_message(std::move(message));
  response.set_error_details(std::move(details));
  return response;
}

inline EndpointKey key_of(const cni::v1::CniRequest& request) {
  return {.network = request.network(),
          .container_id = request.container_id(),
          .ifname = request.ifname()};
}

// A value of CNI_ARGS; empty where it is not there.
inline std::string argument(const cni::v1::CniRequest& request, const std::string& name) {
  const auto found = request.args().find(name);
  return found == request.args().end() ? std::string() : found->second;
}

// Why a DEL is not for that endpoint: it names another pod of the same name (N9). Empty: it is.
inline std::string other_uid(const cni::v1::CniRequest& request, const LocalEndpoint& endpoint) {
  const std::string uid = argument(request, "K8S_POD_UID");
  if (uid.empty() || endpoint.pod_uid.empty() || endpoint.pod_uid == uid) return {};
  return "K8S_POD_UID: " + to_string(key_of(endpoint)) + " is of pod uid " + endpoint.pod_uid +
         ", the request is for " + uid + "; nothing was removed";
}

}  // namespace sluice
