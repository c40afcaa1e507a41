// SPDX-License-Identifier: Apache-2.0
// Manifests: any text gives objects and problems, and never an object without a name.
#include <cstdlib>
#include <string_view>

#include "operator/source/manifests/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto parsed = sluice::parse_documents(
      "fuzz.yaml", std::string_view(reinterpret_cast<const char*>(data), size));
  for (const auto& pod : parsed.objects.pods) {
    if (pod.name.empty()) std::abort();
  }
  for (const auto& node : parsed.objects.nodes) {
    if (node.name.empty()) std::abort();
  }
  return 0;
}
