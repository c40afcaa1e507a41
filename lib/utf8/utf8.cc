// SPDX-License-Identifier: Apache-2.0
// A character is one of
//   00-7f
//   c2-df 80-bf
//   e0 a0-bf 80-bf | e1-ec,ee-ef 80-bf 80-bf | ed 80-9f 80-bf
//   f0 90-bf 80-bf 80-bf | f1-f3 80-bf 80-bf 80-bf | f4 80-8f 80-bf 80-bf
#include "lib/utf8/utf8.h"

#include <cstddef>
#include <cstdint>

namespace sluice {
namespace {

struct Lead {
  size_t length;  // of the character in bytes; 0: no character starts so
  uint8_t low;    // limits of the second byte
  uint8_t high;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xc2 || byte > 0xf4) return {0, 0, 0};
  if (byte < 0xe0) return {2, 0x80, 0xbf};
  if (byte == 0xe0) return {3, 0xa0, 0xbf};
  if (byte == 0xed) return {3, 0x80, 0x9f};
  if (byte < 0xf0) return {3, 0x80, 0xbf};
  if (byte == 0xf0) return {4, 0x90, 0xbf};
  if (byte == 0xf4) return {4, 0x80, 0x8f};
  return {4, 0x80, 0xbf};
}

// Bytes of the character at the start of `text`, which is not empty; 0: there is none.
size_t character_length(std::string_view text) {
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(text[at]); };
  const Lead lead = lead_of(byte(0));
  if (lead.length > text.size()) return 0;
  if (lead.length > 1 && (byte(1) < lead.low || byte(1) > lead.high)) return 0;
  for (size_t at = 2; at < lead.length; ++at) {
    if ((byte(at) & 0xc0) != 0x80) return 0;
  }
  return lead.length;
}

bool is_control(char c) {
  return static_cast<uint8_t>(c) < 0x20 || c == 0x7f;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = character_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string printable(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t length = character_length(text);
    if (length == 0 || is_control(text.front())) {
      const auto byte = static_cast<uint8_t>(text.front());
      result += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
      text.remove_prefix(1);
      continue;
    }
    result += text.substr(0, length);
    text.remove_prefix(length);
  }
  return result;
}

}  // namespace sluice
