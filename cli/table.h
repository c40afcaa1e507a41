// SPDX-License-Identifier: Apache-2.0
// Aligned text tables for people: the last step of every command that lists rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::cli {

enum class Style : uint8_t { kPlain, kGood, kWarn, kBad, kDim, kBold };

// The text in the terminal's colours, or as it is.
std::string styled(std::string_view text, Style style, bool color);
// Cells of a terminal that the text takes (one a code point).
size_t display_width(std::string_view text);
// At most `width` cells; a cut text ends in "…".
std::string shorten(std::string_view text, size_t width);

struct Column {
  std::string title;
  bool right = false;  // numbers
  bool may_shrink = false;
};

struct Cell {
  std::string text;
  Style style = Style::kPlain;
};

struct TableLook {
  bool color = false;
  size_t width = 0;      // 0: as wide as it gets (pipes and files lose nothing)
  bool compact = false;  // no titles, one tab between cells, "-" where empty: for cut and awk
};

class Table {
 public:
  explicit Table(std::vector<Column> columns);

  void add(std::vector<Cell> cells);  // as many as columns
  bool empty() const { return rows_.empty(); }
  void print(std::ostream& out, const TableLook& look) const;

 private:
  std::vector<size_t> widths(size_t limit) const;
  void print_compact(std::ostream& out) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace sluice::cli
