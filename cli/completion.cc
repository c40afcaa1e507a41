// SPDX-License-Identifier: Apache-2.0
// `sluice completion bash|zsh|fish`: prints a script that is made from the commands as they are.
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "cli/tree.h"

namespace sluice::cli {

namespace {

int run_completion(Session& session, CLI::App& root, const std::string& shell) {
  const CommandNode tree = command_tree(root);
  if (shell == "bash") session.out << bash_completion(tree);
  if (shell == "zsh") session.out << zsh_completion(tree);
  if (shell == "fish") session.out << fish_completion(tree);
  return kExitOk;
}

}  // namespace

void add_completion(CLI::App& root, Session& session) {
  CLI::App* command = root.add_subcommand("completion", "Completion script for a shell");
  const auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "The shell")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->type_name("SHELL");
  command->footer(
      "Examples:\n"
      "  source <(sluice completion bash)\n"
      "  sluice completion zsh > \"${fpath[1]}/_sluice\"\n"
      "  sluice completion fish | source");
  command->callback([&session, &root, shell] {
    session.chosen = [&session, &root, shell] { return run_completion(session, root, *shell); };
  });

  // For docs/cli.md only: hidden from help and completion.
  CLI::App* reference = root.add_subcommand("reference", "This page")->group("");
  reference->callback([&session, &root] {
    session.chosen = [&session, &root] {
      session.out << markdown_reference(command_tree(root));
      return kExitOk;
    };
  });
}

}  // namespace sluice::cli
