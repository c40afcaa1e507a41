// SPDX-License-Identifier: Apache-2.0
#include "cli/tree.h"

#include <CLI/CLI.hpp>

namespace sluice::cli {

namespace {

// "FORMAT:{table,compact,json}": the choices stand in braces behind the type.
std::vector<std::string> choices_in(std::string& type) {
  std::vector<std::string> choices;
  const size_t open = type.find('{');
  const size_t close = type.find('}', open == std::string::npos ? 0 : open);
  if (open == std::string::npos || close == std::string::npos) return choices;
  std::string inside = type.substr(open + 1, close - open - 1);
  for (size_t at = 0; at <= inside.size();) {
    const size_t comma = std::min(inside.find(',', at), inside.size());
    choices.push_back(inside.substr(at, comma - at));
    at = comma + 1;
  }
  type = open == 0 ? "NAME" : type.substr(0, open - (type[open - 1] == ':' ? 1 : 0));
  return choices;
}

OptionNode option_node(const CLI::Option& option) {
  OptionNode node;
  for (const std::string& name : option.get_snames()) node.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) node.names.push_back("--" + name);
  if (option.get_type_size_max() != 0) node.type = option.get_type_name();
  node.choices = choices_in(node.type);
  // A range check stands behind the type as well, and says what --help already does.
  node.type = node.type.substr(0, node.type.find(':'));
  node.description = option.get_description();
  node.usual = option.get_default_str();
  return node;
}

CommandNode command_node(CLI::App& app, const std::string& parent) {
  CommandNode node;
  node.name = app.get_name();
  node.path = parent.empty() ? node.name : parent + " " + node.name;
  node.description = app.get_description();
  node.examples = app.get_footer();
  for (const CLI::Option* option : app.get_options()) node.options.push_back(option_node(*option));
  for (CLI::App* child : app.get_subcommands(nullptr)) {
    if (!child->get_group().empty()) node.children.push_back(command_node(*child, node.path));
  }
  return node;
}

void collect(const CommandNode& node, std::vector<const CommandNode*>& into) {
  into.push_back(&node);
  for (const CommandNode& child : node.children) collect(child, into);
}

}  // namespace

CommandNode command_tree(CLI::App& root) {
  return command_node(root, "");
}

std::vector<const CommandNode*> flattened(const CommandNode& root) {
  std::vector<const CommandNode*> nodes;
  collect(root, nodes);
  return nodes;
}

}  // namespace sluice::cli
