// SPDX-License-Identifier: Apache-2.0
// What is text, and how the rest is shown.
#include "lib/utf8/utf8.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::string_view_literals;

TEST(Utf8, KnowsCharactersByTheirLimits) {
  for (const auto text :
       {""sv, "a"sv, "\x7f"sv, "\xc2\x80"sv, "\xdf\xbf"sv, "\xe0\xa0\x80"sv, "\xed\x9f\xbf"sv,
        "\xee\x80\x80"sv, "\xf0\x90\x80\x80"sv, "\xf4\x8f\xbf\xbf"sv, "a\0b"sv}) {
    EXPECT_TRUE(is_utf8(text)) << printable(text);
  }
  for (const auto text :
       {"\x80"sv, "\xc1\xbf"sv, "\xc2"sv, "\xc2\x41"sv, "\xe0\x9f\xbf"sv, "\xed\xa0\x80"sv,
        "\xef\xbf"sv, "\xf0\x8f\xbf\xbf"sv, "\xf4\x90\x80\x80"sv, "\xf5\x80\x80\x80"sv, "\xff"sv}) {
    EXPECT_FALSE(is_utf8(text)) << printable(text);
    EXPECT_TRUE(is_utf8(printable(text)));
  }
}

TEST(Utf8, ShowsWhatIsNoTextAsItsBytes) {
  EXPECT_EQ(printable("gr\xc3\xbc\xc3\x9f"
                      "e"),
            "gr\xc3\xbc\xc3\x9f"
            "e");
  EXPECT_EQ(printable("a\xff"
                      "b\xc3"),
            "a\\xff"
            "b\\xc3");
  EXPECT_EQ(printable("\x1b[2J\nok\x7f"), "\\x1b[2J\\x0aok\\x7f");
}

}  // namespace
}  // namespace sluice
