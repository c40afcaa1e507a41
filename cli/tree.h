// SPDX-License-Identifier: Apache-2.0
// The tree of commands as plain data, read off the parser itself: completion and reference cannot
// drift from it.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace sluice::cli {

struct OptionNode {
  std::vector<std::string> names;  // "-o", "--output"; empty: positional
  std::string type;                // "FORMAT"; empty: a flag
  std::string description;
  std::string usual;                 // default, may be empty
  std::vector<std::string> choices;  // empty: free text
};

struct CommandNode {
  std::string path;  // "sluice bpf ct"
  std::string name;  // "ct"
  std::string description;
  std::string examples;
  std::vector<OptionNode> options;
  std::vector<CommandNode> children;
};

// Hidden commands are left out.
CommandNode command_tree(CLI::App& root);
// The node and all below it, parents first.
std::vector<const CommandNode*> flattened(const CommandNode& root);

// Completion scripts; the caller's shell evaluates them.
std::string bash_completion(const CommandNode& root);
std::string zsh_completion(const CommandNode& root);
std::string fish_completion(const CommandNode& root);
// docs/cli.md.
std::string markdown_reference(const CommandNode& root);

}  // namespace sluice::cli
