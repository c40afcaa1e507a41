// SPDX-License-Identifier: Apache-2.0
#include "agent/enrich/flow.h"

namespace sluice {

bool is_drop(const EnrichedFlow& flow) {
  return flow.event.kind == EVENT_DROP;
}

Direction direction(const EnrichedFlow& flow) {
  const bool egress = flow.event.hook == HOOK_POD_EGRESS || flow.event.hook == HOOK_UPLINK_EGRESS;
  return egress ? Direction::kEgress : Direction::kIngress;
}

std::string format_uuid(const std::array<uint8_t, 16>& uuid) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
    text.push_back(kHex[uuid[i] >> 4]);
    text.push_back(kHex[uuid[i] & 15]);
  }
  return text;
}

}  // namespace sluice
