// SPDX-License-Identifier: Apache-2.0
// The tree of commands and the way from a command line to an exit code.
#pragma once

#include <memory>

#include <CLI/CLI.hpp>

#include "cli/session.h"

namespace sluice::cli {

// Refers to `session`, which must outlive it.
std::unique_ptr<CLI::App> make_app(Session& session);

// Parses and runs one command line. Returns the exit code (kExit*).
int run(Session& session, int argc, const char* const* argv);

}  // namespace sluice::cli
