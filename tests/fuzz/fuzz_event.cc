// SPDX-License-Identifier: Apache-2.0
// Ring records: whatever the bytes are, decoding ends, and an event that it accepts has valid
// fields.
#include <cstdlib>
#include <span>

#include "agent/events/decoder.h"
#include "bpf/abi/verdict.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto decoded = sluice::decode_event(std::as_bytes(std::span(data, size)));
  if (decoded.outcome != sluice::DecodeOutcome::kEvent) return 0;
  if (decoded.event.hook >= HOOK_MAX) std::abort();
  if (decoded.event.kind == EVENT_DROP && decoded.event.reason >= DROP_REASON_MAX) std::abort();
  return 0;
}
