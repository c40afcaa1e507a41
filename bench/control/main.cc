// SPDX-License-Identifier: Apache-2.0
// controlbench operator|agents ...: see bench/control/run.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>

#include "bench/control/controlbench.h"

int main(int argc, char** argv) {
  using namespace sluice::bench;
  Settings settings;
  CLI::App app("the control stream under load");
  app.require_subcommand(1);
  auto* replica = app.add_subcommand("operator", "prints its figures as JSON");
  auto* agents = app.add_subcommand("agents", "runs until it is killed");
  for (auto* command : {replica, agents}) {
    command->add_option("--folder", settings.folder)->required();
    command->add_option("--address", settings.address)->required();
    command->add_option("--agents", settings.agents);
  }
  agents->add_option("--first", settings.first);
  replica->add_option("--pods", settings.pods);
  replica->add_option("--changes-per-second", settings.changes_per_second);
  replica->add_option("--seconds", settings.seconds);
  CLI11_PARSE(app, argc, argv);
  spdlog::set_level(spdlog::level::err);
  return replica->parsed() ? run_operator(settings) : run_agents(settings);
}
