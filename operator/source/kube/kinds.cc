// SPDX-License-Identifier: Apache-2.0
// The kinds that can be watched.
#include "operator/source/kube/kinds.h"

namespace sluice {

Result<KindSpec> built_in_kind(const std::string& kind) {
  constexpr auto kProto = Encoding::kProtobuf;
  static const KindSpec kKinds[] = {
      {"Node", "/api/v1/nodes", kProto, false, &decode_node, &make_store<NodeObject>},
      {"Namespace", "/api/v1/namespaces", kProto, false, &decode_namespace,
       &make_store<NamespaceObject>},
      {"Pod", "/api/v1/pods", kProto, false, &decode_pod, &make_store<PodObject>},
      {"Service", "/api/v1/services", kProto, false, &decode_service, &make_store<ServiceObject>},
  };
  for (const KindSpec& spec : kKinds) {
    if (spec.kind == kind) return spec;
  }
  return fail(ErrorCode::kInvalid,
              "kind \"" + kind + "\" is none of Node, Namespace, Pod, Service");
}

KindSpec custom_kind(const std::string& kind, const std::string& group_version,
                     const std::string& plural) {
  return {.kind = kind,
          .path = "/apis/" + group_version + "/" + plural,
          .encoding = Encoding::kJson,
          .optional = true,
          .decode = &decode_custom,
          .make_store = &make_store<CustomObject>};
}

}  // namespace sluice
