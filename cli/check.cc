// SPDX-License-Identifier: Apache-2.0
// `sluice check`: can this host run Sluice, and what stands in the way; asks nobody, changes
// nothing.
#include "cli/check/check.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/format.h"

namespace sluice::cli {

namespace {

using Counts = std::array<uint64_t, 3>;  // by Level

Style level_style(Level level) {
  if (level == Level::kFail) return Style::kBad;
  return level == Level::kWarn ? Style::kWarn : Style::kGood;
}

void print_json_results(const std::vector<CheckResult>& results, const Counts& counts,
                        std::ostream& out) {
  nlohmann::ordered_json json;
  json["ok"] = counts[0];
  json["warn"] = counts[1];
  json["fail"] = counts[2];
  json["results"] = nlohmann::ordered_json::array();
  for (const CheckResult& result : results) {
    json["results"].push_back({{"area", result.area},
                               {"name", result.name},
                               {"level", level_name(result.level)},
                               {"found", result.found},
                               {"next_step", result.next_step}});
  }
  // Names of devices and programs are bytes that anybody chose.
  out << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

void print_people(const std::vector<CheckResult>& results, const Counts& counts, Session& session) {
  const bool color = session.options.color();
  std::string area;
  for (const CheckResult& result : results) {
    if (result.area != area) {
      session.out << (area.empty() ? "" : "\n") << styled(result.area, Style::kBold, color) << '\n';
      area = result.area;
    }
    std::string level(level_name(result.level));
    std::string name = result.name;
    level.resize(4, ' ');
    name.resize(std::max<size_t>(name.size(), 28), ' ');
    session.out << "  " << styled(level, level_style(result.level), color) << "  " << name << "  "
                << result.found << '\n';
    if (!result.next_step.empty()) session.out << "        next: " << result.next_step << '\n';
  }
  session.out << '\n'
              << counts[0] << " ok, " << plural(counts[1], "warning") << ", "
              << plural(counts[2], "failure")
              << (counts[2] == 0 ? ": Sluice runs here\n" : ": Sluice does not run here yet\n");
}

int report(const std::vector<CheckResult>& results, Session& session) {
  Counts counts{};
  for (const CheckResult& result : results) ++counts.at(static_cast<size_t>(result.level));
  switch (session.options.output()) {
    case Format::kJson:
      print_json_results(results, counts, session.out);
      break;
    case Format::kCompact:
      for (const CheckResult& result : results) {
        session.out << level_name(result.level) << '\t' << result.area << '\t' << result.name
                    << '\t' << result.found << '\n';
      }
      break;
    case Format::kTable:
      print_people(results, counts, session);
      break;
  }
  return counts[2] == 0 ? kExitOk : kExitUnhealthy;
}

int run_check(Session& session, const std::string& snat_ports) {
  CheckPlaces places;
  unsigned low = 0;
  unsigned high = 0;
  char rest = 0;
  if (std::sscanf(snat_ports.c_str(), "%5u-%5u%c", &low, &high, &rest) != 2 || low == 0 ||
      low > high || high > 65535) {
    session.err << "sluice: --snat-ports: \"" << snat_ports << "\" is not MIN-MAX (1 to 65535)\n";
    return kExitUsage;
  }
  places.snat_port_min = static_cast<uint16_t>(low);
  places.snat_port_max = static_cast<uint16_t>(high);

  std::vector<CheckResult> results = check_kernel();
  for (auto& part :
       {check_host(places), check_conflicts(places), check_attached_programs(places)}) {
    results.insert(results.end(), part.begin(), part.end());
  }
  return report(results, session);
}

}  // namespace

void add_check(CLI::App& root, Session& session) {
  CLI::App* command =
      root.add_subcommand("check", "Can this host run Sluice, and what stands in the way");
  const auto snat_ports = std::make_shared<std::string>("10240-29999");
  command
      ->add_option("--snat-ports", *snat_ports,
                   "Source ports of translation (snat.portMin, snat.portMax)")
      ->type_name("MIN-MAX")
      ->capture_default_str();
  add_common_options(*command, session, false,
                     "  sudo sluice check                   before installing, or when pods fail\n"
                     "  sluice check -o json | jq '.results[] | select(.level==\"fail\")'\n"
                     "  sluice check -o compact | grep ^fail");
  command->callback([&session, snat_ports] {
    session.chosen = [&session, snat_ports] { return run_check(session, *snat_ports); };
  });
}

}  // namespace sluice::cli
