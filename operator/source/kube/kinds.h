// SPDX-License-Identifier: Apache-2.0
// The kinds that can be watched. One more is a message in proto/kube, a function in decode.cc and a
// row in kinds.cc.
#pragma once

#include <memory>
#include <string>

#include "operator/source/kube/decode.h"
#include "operator/source/kube/store.h"

namespace sluice {

struct KindSpec {
  std::string kind{};  // "Pod"
  std::string path{};  // "/api/v1/pods": of all namespaces
  Encoding encoding = Encoding::kProtobuf;
  // Its definition may be absent: then there are no objects, and it is asked for again.
  bool optional = false;
  Decode decode = nullptr;
  std::unique_ptr<KindStore> (*make_store)(StorePools&) = nullptr;
};

// "Node", "Namespace", "Pod", "Service"; kInvalid for another.
Result<KindSpec> built_in_kind(const std::string& kind);
// group_version: "sluice.dev/v1alpha1"; plural: "ippools".
KindSpec custom_kind(const std::string& kind, const std::string& group_version,
                     const std::string& plural);

}  // namespace sluice
