// SPDX-License-Identifier: Apache-2.0
// Text that came from outside, before it goes into messages: protobuf strings, HTTP bodies and
// terminals take UTF-8 only.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);
// The text with each byte that is not UTF-8, and each control character, as "\xff".
std::string printable(std::string_view text);

}  // namespace sluice
