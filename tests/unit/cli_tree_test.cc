// SPDX-License-Identifier: Apache-2.0
// What is made of the commands as they are: shell completion and the reference page.
#include "cli/tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "cli/app.h"

namespace sluice::cli {
namespace {

using testing::HasSubstr;

class CliTree : public testing::Test {
 protected:
  std::ostringstream out_;
  Session session_{.out = out_,
                   .err = out_,
                   .options = {},
                   .ask_agent = nullptr,
                   .unix_ms = nullptr,
                   .pause = nullptr,
                   .chosen = nullptr};
  std::unique_ptr<CLI::App> app_ = make_app(session_);
  CommandNode tree_ = command_tree(*app_);
};

TEST_F(CliTree, CompletionKnowsEveryCommandAndOption) {
  const std::string bash = bash_completion(tree_);
  const std::string zsh = zsh_completion(tree_);
  const std::string fish = fish_completion(tree_);
  ASSERT_GE(flattened(tree_).size(), 14U);
  for (const CommandNode* node : flattened(tree_)) {
    EXPECT_THAT(bash, HasSubstr("'" + node->path + "')"));
    EXPECT_THAT(zsh, HasSubstr("('" + node->path + "')"));
    for (const OptionNode& option : node->options) {
      if (option.names.empty()) continue;
      EXPECT_THAT(bash, HasSubstr(option.names.back())) << node->path;
      EXPECT_THAT(zsh, HasSubstr("'" + option.names.back() + ":")) << node->path;
      EXPECT_THAT(fish, HasSubstr("-l " + option.names.back().substr(2))) << node->path;
    }
  }
  EXPECT_THAT(bash, HasSubstr("compgen -W 'table compact json'"));
}

TEST_F(CliTree, EveryCommandHasHelpWithExamples) {
  for (const CommandNode* node : flattened(tree_)) {
    EXPECT_THAT(node->examples, HasSubstr("Examples:\n  ")) << node->path;
    EXPECT_FALSE(node->description.empty()) << node->path;
  }
}

TEST_F(CliTree, TheReferencePageIsWhatTheCommandsSay) {
  std::ifstream file(SLUICE_SOURCE_DIR "/docs/cli.md");
  const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());

  EXPECT_EQ(page, markdown_reference(tree_)) << "write it anew: sluice reference > docs/cli.md";
}

}  // namespace
}  // namespace sluice::cli
