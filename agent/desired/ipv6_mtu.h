// SPDX-License-Identifier: Apache-2.0
// What a link must carry for IPv6.
#pragma once

#include <cstdint>

namespace sluice {

// A link that takes less has no IPv6 (RFC 8200, section 5): the kernel takes it off the device.
inline constexpr uint32_t kIpv6MtuMin = 1280;

}  // namespace sluice
