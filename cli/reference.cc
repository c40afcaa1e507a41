// SPDX-License-Identifier: Apache-2.0
// docs/cli.md, written from the tree of commands.
#include "cli/tree.h"

namespace sluice::cli {

namespace {

constexpr const char* kIntroduction =
    "# `sluice`, the command line\n"
    "\n"
    "Runs on a node and asks that node's agent over `/run/sluice/agent.sock` (root only); "
    "`observe` asks the Observer\n"
    "service, `check`, `version`, `completion` and `drops --explain REASON` ask nobody. A test "
    "compares this page with\n"
    "the commands (`sluice reference`, which no help shows, prints it).\n"
    "\n"
    "Output: a table for people that fits the terminal (a pipe gets it uncut), `-o compact` "
    "without titles and with one\n"
    "tab between the cells (of `observe`: a line for people, as by default), `-o json` for "
    "machines: the messages of\n"
    "`proto/admin/v1/admin.proto` with its field names, 64-bit numbers as text as protobuf's JSON "
    "has it; of `observe` the\n"
    "Hubble API's, one a line, which `hubble observe --input-file` reads. Colours only on a "
    "terminal, and not with\n"
    "`NO_COLOR`.\n"
    "\n"
    "| exit code | meaning |\n"
    "|---|---|\n"
    "| 0 | well |\n"
    "| 1 | something is wrong: `status` is unhealthy, `check` found a failure, the agent refused "
    "the "
    "request, or the output could not be written |\n"
    "| 2 | wrong usage |\n"
    "| 3 | the agent, or the observer, did not answer |\n";

std::string cell(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '|' ? std::string("\\|") : std::string(1, c);
  return result;
}

std::string option_line(const OptionNode& option) {
  std::string names;
  for (const std::string& name : option.names) names += (names.empty() ? "" : ", ") + name;
  if (names.empty())
    names = option.type;
  else if (!option.type.empty())
    names += " " + option.type;
  std::string meaning = option.description;
  if (!option.choices.empty()) {
    std::string choices;
    for (const std::string& choice : option.choices)
      choices += (choices.empty() ? "" : ", ") + choice;
    // Some descriptions are nothing but the choices.
    if (meaning.find(choices) == std::string::npos) meaning += ": " + choices;
  }
  if (!option.usual.empty()) meaning += " (default " + option.usual + ")";
  return "| `" + cell(names) + "` | " + cell(meaning) + " |\n";
}

}  // namespace

std::string markdown_reference(const CommandNode& root) {
  std::string text = kIntroduction;
  for (const CommandNode* node : flattened(root)) {
    if (node == &root) continue;
    text += "\n## `" + node->path + "`\n\n" + node->description + ".\n";
    if (!node->children.empty()) continue;
    text += "\n| option | meaning |\n|---|---|\n";
    for (const OptionNode& option : node->options) text += option_line(option);
    const size_t start = node->examples.find('\n');
    if (start != std::string::npos)
      text += "\n```\n" + node->examples.substr(start + 1) + "\n```\n";
  }
  return text;
}

}  // namespace sluice::cli
