// SPDX-License-Identifier: Apache-2.0
// First step of events in user space: bytes of the ring sl_events become a checked flow_event.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "bpf/abi/event.h"

namespace sluice {

enum class DecodeOutcome : uint8_t {
  kEvent,
  kUnknownKind,  // a newer program's: skipped
  kTruncated,    // shorter than its kind or than it says
  kBadVersion,   // of another layout
  kBadField,     // a hook, reason or state that is in no list
};
inline constexpr size_t kDecodeOutcomes = 5;

struct DecodedEvent {
  DecodeOutcome outcome = DecodeOutcome::kTruncated;
  flow_event event{};  // only for kEvent
};

// Grammar of a record: kind(1) version(1) len(2) rest(len - 4), host order; the shape of a
// flow_event for the kinds 1..4. bytes: the record as the ring gave it, any alignment; more than
// len is accepted (a ring may pad). Thread: any; pure.
DecodedEvent decode_event(std::span<const std::byte> bytes);

// "event", "unknown_kind", ... for metrics.
std::string_view name(DecodeOutcome outcome);
// "open", "update", "close", "drop"; "unknown" for a kind in no list.
std::string_view event_kind_name(uint8_t kind);

}  // namespace sluice
