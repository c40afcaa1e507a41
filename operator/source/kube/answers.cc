// SPDX-License-Identifier: Apache-2.0
// What an answer of the API server means for who watches.
#include "operator/source/kube/answers.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace sluice {
namespace {

std::optional<uint64_t> number_of(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

bool is_older(const std::string& version, const std::string& than) {
  const auto a = number_of(version);
  const auto b = number_of(than);
  return a && b && *a < *b;
}

std::string escaped(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
    const auto byte = static_cast<uint8_t>(c);
    out += plain ? std::string(1, c) : std::string{'%', kHex[byte >> 4], kHex[byte & 15]};
  }
  return out;
}

const char* reason_of(int status) {
  switch (status) {
    case 401:
      return "unauthorized";
    case 403:
      return "forbidden";
    case 404:
      return "absent";
    case 410:
      return "expired";
    case 429:
      return "throttled";
    default:
      return status >= 500 ? "server-error" : "refused";
  }
}

bool is_version_too_large(const ApiStatus& status) {
  return std::find(status.causes.begin(), status.causes.end(), "ResourceVersionTooLarge") !=
             status.causes.end() ||
         status.message.find("Too large resource version") != std::string::npos;
}

}  // namespace sluice
