// SPDX-License-Identifier: Apache-2.0
// Problems of the input as lines for people.
#include "operator/source/objects.h"

#include "lib/utf8/utf8.h"

namespace sluice {

std::string to_string(const SourceProblem& problem) {
  std::string text;
  if (!problem.origin.file.empty()) {
    text = problem.origin.file;
    if (problem.origin.line != 0) {
      text +=
          ":" + std::to_string(problem.origin.line) + ":" + std::to_string(problem.origin.column);
    }
    text += ": ";
  }
  if (!problem.kind.empty()) {
    text += problem.kind;
    if (!problem.name.empty()) {
      text += " ";
      if (!problem.namespace_name.empty()) text += problem.namespace_name + "/";
      text += problem.name;
    }
    text += ": ";
  }
  if (!problem.field.empty()) text += problem.field + ": ";
  // What is wrong may be a byte that no reader of this text takes.
  return printable(text + problem.what);
}

}  // namespace sluice
