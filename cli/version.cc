// SPDX-License-Identifier: Apache-2.0
// `sluice version`: of this binary, without asking anybody.
#include <version.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "bpf/abi/limits.h"
#include "cli/commands.h"

namespace sluice::cli {

namespace {

int run_version(Session& session) {
  if (session.options.output() == Format::kJson) {
    const nlohmann::ordered_json json = {
        {"version", SLUICE_VERSION}, {"commit", SLUICE_COMMIT}, {"layout", SLUICE_LAYOUT}};
    session.out << json.dump() << '\n';
  } else {
    session.out << version_line() << '\n';
  }
  return kExitOk;
}

}  // namespace

std::string version_line() {
  return std::string("sluice ") + SLUICE_VERSION + " (commit " + SLUICE_COMMIT + ", map layout " +
         std::to_string(SLUICE_LAYOUT) + ")";
}

void add_version(CLI::App& root, Session& session) {
  CLI::App* command = root.add_subcommand("version", "Version, commit and map layout");
  add_common_options(*command, session, false,
                     "  sluice version\n"
                     "  sluice version -o json");
  command->callback([&session] { session.chosen = [&session] { return run_version(session); }; });
}

}  // namespace sluice::cli
