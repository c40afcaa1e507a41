// SPDX-License-Identifier: Apache-2.0
// The recorded cost of verification: how many instructions the kernel walked for each program under
// each corner.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "lib/result/result.h"

namespace sluice::test {

struct FigureKey {
  std::string kernel;  // "6.12": figures of different kernels do not compare
  std::string program;
  std::string corner;
  auto operator<=>(const FigureKey&) const = default;
};

using Figures = std::map<FigureKey, uint32_t>;

inline constexpr uint32_t kTolerancePercent = 10;

// "6.12" of the running kernel.
std::string running_kernel();
// Lines of "kernel program corner instructions", `#` opens a comment. kInvalid names the line.
Result<Figures> parse_figures(std::string_view text);
// kNotFound where there is no such file.
Result<Figures> read_figures(const std::string& path);
std::string format_figures(const Figures& figures);
// True where `measured` is more than kTolerancePercent above `recorded`.
bool exceeds(uint32_t measured, uint32_t recorded);

}  // namespace sluice::test
