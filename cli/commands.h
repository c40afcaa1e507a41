// SPDX-License-Identifier: Apache-2.0
// The commands of `sluice`, one file each: add_x() puts its flags and examples into the tree and
// sets session.chosen.
#pragma once

#include <string>

#include "cli/session.h"

namespace CLI {
class App;
}

namespace sluice::cli {

// Lives as long as the tree; the session too.
void add_status(CLI::App& root, Session& session);
void add_endpoint(CLI::App& root, Session& session);
void add_drops(CLI::App& root, Session& session);
void add_observe(CLI::App& root, Session& session);
void add_bpf(CLI::App& root, Session& session);
void add_check(CLI::App& root, Session& session);
// "sluice 0.1.0 (commit abc, map layout 1)"
std::string version_line();
void add_version(CLI::App& root, Session& session);
void add_completion(CLI::App& root, Session& session);

// For every leaf: -o, --no-color, and --socket where the command asks the agent; then the examples.
void add_common_options(CLI::App& command, Session& session, bool asks_agent,
                        const std::string& examples);

}  // namespace sluice::cli
