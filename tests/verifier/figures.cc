// SPDX-License-Identifier: Apache-2.0
// The file is text, sorted, one figure a line: a review sees the growth of a program as a diff.
#include "tests/verifier/figures.h"

#include <sys/utsname.h>

#include <sstream>

#include "lib/fd/fd.h"

namespace sluice::test {

std::string running_kernel() {
  utsname names{};
  if (uname(&names) != 0) {
    return "unknown";
  }
  const std::string release = names.release;
  const size_t minor = release.find('.');
  const size_t end = release.find_first_not_of("0123456789", minor + 1);
  return release.substr(0, end);
}

Result<Figures> parse_figures(std::string_view text) {
  Figures figures;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); number++) {
    if (line.empty() || line[0] == '#') {
      continue;
    }
    std::istringstream words(line);
    FigureKey key;
    uint32_t count = 0;
    std::string rest;
    if (!(words >> key.kernel >> key.program >> key.corner >> count) || (words >> rest)) {
      return fail(ErrorCode::kInvalid, "line " + std::to_string(number) +
                                           " is not `kernel program corner count`: " + line);
    }
    figures[key] = count;
  }
  return figures;
}

Result<Figures> read_figures(const std::string& path) {
  Result<std::string> text = read_file(path);
  if (!text) {
    return fail(text.error());
  }
  Result<Figures> figures = parse_figures(*text);
  if (!figures) {
    return fail(within(path, figures.error()));
  }
  return figures;
}

std::string format_figures(const Figures& figures) {
  std::ostringstream text;
  text << "# Instructions that the verifier walked: kernel, program, settings that are on, count.\n"
          "# A test fails where a program grows by more than "
       << kTolerancePercent << " %. Record anew: UPDATE=1 build/debug/bin/verifier_test\n";
  for (const auto& [key, count] : figures) {
    text << key.kernel << ' ' << key.program << ' ' << key.corner << ' ' << count << '\n';
  }
  return text.str();
}

bool exceeds(uint32_t measured, uint32_t recorded) {
  return uint64_t{measured} * 100 > uint64_t{recorded} * (100 + kTolerancePercent);
}

}  // namespace sluice::test
