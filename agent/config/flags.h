// SPDX-License-Identifier: Apache-2.0
// The agent's settings as command line flags: each field of the file in kebab-case
// ("--snat-port-min").
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "agent/config/config.h"

namespace sluice {

// Adds --config, --standalone, --operator and one flag for each field; what is given is written to
// `sources` while `app` parses. sources must outlive app.
void add_flags(CLI::App& app, ConfigSources& sources);

}  // namespace sluice
