// SPDX-License-Identifier: Apache-2.0
#include "cli/table.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace sluice::cli {

namespace {

constexpr size_t kGap = 2;
constexpr size_t kNarrowest = 8;  // a shrunk column keeps this much

bool starts_code_point(char c) {
  return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
}

std::string pad(std::string_view text, size_t width, bool right) {
  const size_t have = display_width(text);
  const std::string space(width > have ? width - have : 0, ' ');
  return right ? space + std::string(text) : std::string(text) + space;
}

}  // namespace

std::string styled(std::string_view text, Style style, bool color) {
  const char* code = nullptr;
  switch (style) {
    case Style::kPlain:
      break;
    case Style::kGood:
      code = "\x1b[32m";
      break;
    case Style::kWarn:
      code = "\x1b[33m";
      break;
    case Style::kBad:
      code = "\x1b[31m";
      break;
    case Style::kDim:
      code = "\x1b[2m";
      break;
    case Style::kBold:
      code = "\x1b[1m";
      break;
  }
  if (!color || code == nullptr) return std::string(text);
  return code + std::string(text) + "\x1b[0m";
}

size_t display_width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), starts_code_point));
}

std::string shorten(std::string_view text, size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return {};
  size_t end = 0;
  size_t cells = 0;
  for (; end < text.size(); ++end) {
    if (!starts_code_point(text[end])) continue;
    if (cells == width - 1) break;
    ++cells;
  }
  return std::string(text.substr(0, end)) + "…";
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::add(std::vector<Cell> cells) {
  assert(cells.size() == columns_.size());
  rows_.push_back(std::move(cells));
}

std::vector<size_t> Table::widths(size_t limit) const {
  std::vector<size_t> result;
  size_t total = 0;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t width = display_width(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, display_width(row[i].text));
    result.push_back(width);
    total += width + (i == 0 ? 0 : kGap);
  }
  // The widest column that may shrink gives one cell at a time, so that no column pays for all.
  while (limit != 0 && total > limit) {
    size_t widest = columns_.size();
    for (size_t i = 0; i < columns_.size(); ++i) {
      const size_t floor = std::max(kNarrowest, display_width(columns_[i].title));
      if (!columns_[i].may_shrink || result[i] <= floor) continue;
      if (widest == columns_.size() || result[i] > result[widest]) widest = i;
    }
    if (widest == columns_.size()) break;
    --result[widest];
    --total;
  }
  return result;
}

void Table::print_compact(std::ostream& out) const {
  for (const auto& row : rows_) {
    std::string line;
    for (const Cell& cell : row) {
      if (!line.empty()) line += '\t';
      line += cell.text.empty() ? "-" : cell.text;
    }
    out << line << '\n';
  }
}

void Table::print(std::ostream& out, const TableLook& look) const {
  if (look.compact) {
    print_compact(out);
    return;
  }
  const std::vector<size_t> width = widths(look.width);
  const auto line = [&](const auto& text_of, const auto& style_of) {
    std::string result;
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (i != 0) result.append(kGap, ' ');
      const bool last = i + 1 == columns_.size();
      const std::string text = shorten(text_of(i), width[i]);
      // No blanks behind the last column: copied text stays clean.
      const std::string padded =
          last && !columns_[i].right ? text : pad(text, width[i], columns_[i].right);
      result += styled(padded, style_of(i), look.color);
    }
    const size_t end = result.find_last_not_of(' ');
    result.erase(end == std::string::npos ? 0 : end + 1);
    out << result << '\n';
  };
  line([&](size_t i) { return columns_[i].title; }, [](size_t) { return Style::kBold; });
  for (const auto& row : rows_) {
    line([&](size_t i) { return row[i].text; }, [&](size_t i) { return row[i].style; });
  }
}

}  // namespace sluice::cli
