// SPDX-License-Identifier: Apache-2.0
// The framing of /run/sluice/agent.sock. Grammar: frame = length(4, network order, of the rest) service(1) message(length - 1).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/fd/fd.h"
#include "lib/result/result.h"

namespace sluice {

inline constexpr uint8_t kServiceCni = 1;
inline constexpr uint8_t kServiceAdmin = 2;
inline constexpr uint32_t kFrameMaxBytes = 64U << 20;  // longer is refused before it is read

std::string encode_frame(uint8_t service, std::string_view message);

// Client side: connects, sends one frame, waits for the one that answers. The deadline covers all of it.
// kUnavailable: nobody listens (the agent is away); kTimeout: it did not answer in time.
Result<std::string> call(const std::string& socket_path, uint8_t service, std::string_view message,
                         std::chrono::milliseconds deadline);

}  // namespace sluice
