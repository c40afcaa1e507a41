// SPDX-License-Identifier: Apache-2.0
// The agent's settings as command line flags.
#include "agent/config/flags.h"

#include "agent/config/fields.h"

namespace sluice {
namespace {

// What is written on every command line has a second, shorter name.
std::string short_name(const std::string& path) {
  if (path == "standaloneDir") return "--standalone,";
  if (path == "operator.addresses") return "--operator,";
  return "";
}

}  // namespace

void add_flags(CLI::App& app, ConfigSources& sources) {
  app.add_option_function<std::string>(
      "--config", [&sources](const std::string& path) { sources.path = path; },
      std::string("configuration file (default ") + kDefaultConfigPath + ", if it is there)");
  for (const FieldSpec& field : config_fields()) {
    const std::string names = short_name(field.path) + "--" + flag_name(field.path);
    if (field.is_list) {
      app.add_option_function<std::vector<std::string>>(
             names,
             [&sources, path = field.path](const auto& values) { sources.flags[path] = values; },
             field.allowed)
          ->delimiter(',')
          ->allow_extra_args(false);
    } else {
      app.add_option_function<std::string>(
          names,
          [&sources, path = field.path](const auto& value) { sources.flags[path] = {value}; },
          field.allowed);
    }
  }
}

}  // namespace sluice
