// SPDX-License-Identifier: Apache-2.0
// The lists of bpf/abi/verdict.h as tables: what hooks, verdicts and drop reasons are called in
// answers, flows, metrics and on the screen.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "bpf/abi/verdict.h"

namespace sluice {

struct NumberName {
  uint8_t number;
  std::string_view name;
};

struct DropReasonName {
  uint8_t number;
  std::string_view name;  // "FRAGMENT_UNKNOWN"
  std::string_view text;  // what it means and what to look at
  uint32_t hubble;        // flow.DropReason of the Hubble API
};

#define X(id, number, label) NumberName{(number), (label)},
inline constexpr std::array kHookNames{HOOKS(X)};
inline constexpr std::array kVerdictNames{VERDICTS(X)};
#undef X
#define X(id, number, hubble, text) DropReasonName{(number), #id, (text), (hubble)},
inline constexpr std::array kDropReasons{DROP_REASONS(X)};
#undef X

// Null for a number in no list: written by another version.
const DropReasonName* find_drop_reason(uint8_t number);

// "pod_egress", "FRAGMENT_UNKNOWN"; "hook 9", "reason 99" for a number in no list.
std::string hook_name(uint8_t hook);
std::string drop_reason_name(uint8_t reason);
std::string drop_reason_text(uint8_t reason);
uint32_t hubble_drop_reason(uint8_t reason);  // 0 for a number in no list

}  // namespace sluice
