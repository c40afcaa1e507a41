// SPDX-License-Identifier: Apache-2.0
#include "cli/format.h"

#include <cmath>

#include <array>
#include <cctype>
#include <cstdio>
#include <utility>

namespace sluice::cli {

namespace {

std::string one_decimal(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string two_units(uint64_t big, char big_unit, uint64_t small, char small_unit) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%llu%c%02llu%c", static_cast<unsigned long long>(big),
                big_unit, static_cast<unsigned long long>(small), small_unit);
  return text.data();
}

}  // namespace

std::string bytes_text(uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  constexpr std::array<const char*, 5> kUnits = {" KiB", " MiB", " GiB", " TiB", " PiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return one_decimal(value) + kUnits.at(unit);
}

std::string age_text(uint64_t ms) {
  if (ms < 10000) return one_decimal(static_cast<double>(ms) / 1000) + "s";
  const uint64_t seconds = ms / 1000;
  if (seconds < 60) return std::to_string(seconds) + "s";
  if (seconds < 3600) return two_units(seconds / 60, 'm', seconds % 60, 's');
  if (seconds < 86400) return two_units(seconds / 3600, 'h', seconds % 3600 / 60, 'm');
  return two_units(seconds / 86400, 'd', seconds % 86400 / 3600, 'h');
}

std::string rate_text(double per_second) {
  if (per_second <= 0) return "0";
  if (per_second < 100) return one_decimal(per_second) + "/s";
  return std::to_string(std::llround(per_second)) + "/s";
}

std::string percent_text(uint64_t part, uint64_t whole) {
  if (whole == 0 || part == 0) return "0%";
  const double percent = 100 * static_cast<double>(part) / static_cast<double>(whole);
  if (percent < 1) return "<1%";
  return std::to_string(static_cast<uint64_t>(percent)) + "%";
}

std::string endpoint_text(std::string_view address, uint32_t port) {
  std::string text(address);
  if (port == 0) return text;
  if (text.find(':') != std::string::npos) text = "[" + text + "]";
  return text + ":" + std::to_string(port);
}

std::string plural(uint64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, int64_t>, 5> kUnits = {
      {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}}};
  constexpr int64_t kMost = int64_t{1} << 40;  // 34 years: far from overflow in any unit
  const auto bad = [&text] {
    return fail(ErrorCode::kInvalid,
                "\"" + std::string(text) + "\" is not a duration such as 30s, 5m, 1h30m or 2d");
  };
  int64_t total = 0;
  size_t at = 0;
  if (text.empty()) return bad();
  while (at < text.size()) {
    int64_t number = 0;
    const size_t start = at;
    for (; at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0; ++at) {
      number = number * 10 + (text[at] - '0');
      if (number > kMost) return bad();
    }
    const size_t unit_at = at;
    while (at < text.size() && std::isalpha(static_cast<unsigned char>(text[at])) != 0) ++at;
    const std::string_view unit = text.substr(unit_at, at - unit_at);
    int64_t factor = 0;
    for (const auto& [name, ms] : kUnits) factor = name == unit ? ms : factor;
    if (unit_at == start || factor == 0 || number > kMost / factor) return bad();
    total += number * factor;
    if (total > kMost) return bad();
  }
  return std::chrono::milliseconds(total);
}

}  // namespace sluice::cli
