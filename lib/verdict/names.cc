// SPDX-License-Identifier: Apache-2.0
#include "lib/verdict/names.h"

#include <algorithm>

namespace sluice {

const DropReasonName* find_drop_reason(uint8_t number) {
  const auto* found = std::ranges::find(kDropReasons, number, &DropReasonName::number);
  return found == kDropReasons.end() ? nullptr : found;
}

std::string hook_name(uint8_t hook) {
  const auto* found = std::ranges::find(kHookNames, hook, &NumberName::number);
  return found == kHookNames.end() ? "hook " + std::to_string(hook) : std::string(found->name);
}

std::string drop_reason_name(uint8_t reason) {
  const DropReasonName* found = find_drop_reason(reason);
  return found == nullptr ? "reason " + std::to_string(reason) : std::string(found->name);
}

std::string drop_reason_text(uint8_t reason) {
  const DropReasonName* found = find_drop_reason(reason);
  return std::string(found == nullptr ? "not known to this version" : found->text);
}

uint32_t hubble_drop_reason(uint8_t reason) {
  const DropReasonName* found = find_drop_reason(reason);
  return found == nullptr ? 0 : found->hubble;
}

}  // namespace sluice
