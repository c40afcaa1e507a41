// SPDX-License-Identifier: Apache-2.0
#include "agent/events/decoder.h"

#include <cstring>

#include "bpf/abi/ct.h"
#include "bpf/abi/verdict.h"

namespace sluice {

namespace {

constexpr size_t kHeaderBytes = 4;

bool fields_are_listed(const flow_event& event) {
  if (event.hook >= HOOK_MAX || event.is_reply > 1 || event.ct_state > CT_STATE_CLOSED)
    return false;
  if (event.kind != EVENT_DROP) return true;
  return event.reason != 0 && event.reason < DROP_REASON_MAX;
}

}  // namespace

DecodedEvent decode_event(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeaderBytes) return {.outcome = DecodeOutcome::kTruncated, .event = {}};
  flow_event event{};
  std::memcpy(&event, bytes.data(), kHeaderBytes);
  // The kind decides how the rest is read, so it is looked at before the length of a shape we may
  // not know.
  if (event.kind == 0 || event.kind >= EVENT_KIND_MAX) {
    return {.outcome = DecodeOutcome::kUnknownKind, .event = {}};
  }
  if (event.version != EVENT_VERSION) return {.outcome = DecodeOutcome::kBadVersion, .event = {}};
  if (event.len < sizeof(event) || bytes.size() < event.len) {
    return {.outcome = DecodeOutcome::kTruncated, .event = {}};
  }
  std::memcpy(&event, bytes.data(), sizeof(event));
  if (!fields_are_listed(event)) return {.outcome = DecodeOutcome::kBadField, .event = {}};
  return {.outcome = DecodeOutcome::kEvent, .event = event};
}

std::string_view name(DecodeOutcome outcome) {
  switch (outcome) {
    case DecodeOutcome::kEvent:
      return "event";
    case DecodeOutcome::kUnknownKind:
      return "unknown_kind";
    case DecodeOutcome::kTruncated:
      return "truncated";
    case DecodeOutcome::kBadVersion:
      return "bad_version";
    case DecodeOutcome::kBadField:
      return "bad_field";
  }
  return "unknown";
}

std::string_view event_kind_name(uint8_t kind) {
  switch (kind) {
    case EVENT_FLOW_OPEN:
      return "open";
    case EVENT_FLOW_UPDATE:
      return "update";
    case EVENT_FLOW_CLOSE:
      return "close";
    case EVENT_DROP:
      return "drop";
    default:
      return "unknown";
  }
}

}  // namespace sluice
