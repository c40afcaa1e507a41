// SPDX-License-Identifier: Apache-2.0
// Which protocols of the control stream this build speaks. See proto/control/v1 for when the number
// grows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace sluice {

inline constexpr uint32_t kNewestProtocol = 1;
inline constexpr uint32_t kOldestProtocol = 1;

// The newest that both speak.
inline std::optional<uint32_t> common_protocol(uint32_t oldest, uint32_t newest) {
  const uint32_t both = std::min(newest, kNewestProtocol);
  if (both < std::max(oldest, kOldestProtocol)) return std::nullopt;
  return both;
}

}  // namespace sluice
