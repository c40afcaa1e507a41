// SPDX-License-Identifier: Apache-2.0
// Bodies of the API server: any bytes give events, pages and objects or errors, and never an object
// without a name.
#include <google/protobuf/arena.h>

#include <cstdlib>
#include <string_view>

#include "operator/source/kube/body.h"
#include "operator/source/kube/kinds.h"

namespace {

void decode_all(std::string_view bytes) {
  using namespace sluice;  // NOLINT(google-build-using-namespace)
  google::protobuf::Arena arena;
  for (const Decode decode :
       {&decode_node, &decode_namespace, &decode_pod, &decode_service, &decode_custom}) {
    const Decoded decoded = decode("Kind", bytes, arena);
    if (decoded.object && (decoded.head.key.name.empty() || !decoded.problems.empty()))
      std::abort();
    if (!decoded.object && decoded.problems.empty()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  decode_all(bytes);
  for (const auto encoding : {sluice::Encoding::kProtobuf, sluice::Encoding::kJson}) {
    if (const auto page = sluice::parse_list(encoding, bytes)) {
      for (const std::string& item : page->items) decode_all(item);
    }
    (void)sluice::parse_status(encoding, bytes);
    sluice::WatchDecoder decoder(encoding);
    // In two pieces: what is left of an event waits for the rest.
    for (const auto piece : {bytes.substr(0, size / 2), bytes.substr(size / 2)}) {
      decoder.append(piece);
      for (;;) {
        const auto event = decoder.next();
        if (event && !*event) break;
        if (!event && decoder.lost()) return 0;
        if (event) decode_all((*event)->object);
      }
    }
  }
  return 0;
}
