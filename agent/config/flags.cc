// SPDX-License-Identifier: Apache-2.0
// The agent's settings as command line flags.
#include "agent/config/flags.h"

#include "agent/config/fields.h"

namespace sluice {

void add_flags(CLI::App& app, ConfigSources& sources) {
  app.add_option_function<std::string>(
      "--config", [&sources](const std::string& path) { sources.path = path; },
      std::string("configuration file (default ") + kDefaultConfigPath + ", if it is there)");
  for (const FieldSpec& field : config_fields()) {
    const std::string names =
        (field.path == "standaloneDir" ? "--standalone,--" : "--") + flag_name(field.path);
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
