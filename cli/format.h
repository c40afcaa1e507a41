// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them, and back.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/result/result.h"

namespace sluice::cli {

std::string bytes_text(uint64_t bytes);    // "512 B", "1.5 KiB", "23.4 MiB"
std::string age_text(uint64_t ms);         // "0.4s", "12s", "3m12s", "5h02m", "4d03h"
std::string rate_text(double per_second);  // "0", "0.4/s", "1250/s"
std::string percent_text(uint64_t part, uint64_t whole);  // "0%", "<1%", "37%"
// "10.0.0.1:80", "[fd00::1]:80"; the address alone where the port is 0.
std::string endpoint_text(std::string_view address, uint32_t port);
// "3 pods", "1 pod".
std::string plural(uint64_t count, std::string_view noun);

// "30s", "5m", "1h30m", "2d", "250ms". kInvalid names the text.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

}  // namespace sluice::cli
