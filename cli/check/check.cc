// SPDX-License-Identifier: Apache-2.0
#include "cli/check/check.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace sluice::cli {

std::string_view level_name(Level level) {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kWarn:
      return "warn";
    case Level::kFail:
      return "fail";
  }
  return "unknown";
}

// Grammar: route = name hex-destination ... (IPv4, a title line first);
// ipv6_route = hex-destination hex-length source length gateway metric ... name.
std::vector<std::string> default_route_devices(const CheckPlaces& places) {
  std::vector<std::string> devices;
  const auto add = [&devices](const std::string& name) {
    if (name != "lo" && std::find(devices.begin(), devices.end(), name) == devices.end()) {
      devices.push_back(name);
    }
  };
  std::string line;
  std::ifstream ipv4(places.proc + "/net/route");
  while (std::getline(ipv4, line)) {
    std::istringstream fields(line);
    std::string name;
    std::string destination;
    std::string skipped;
    std::string mask;
    fields >> name >> destination;
    for (int i = 0; i < 5; ++i) fields >> skipped;
    if (fields >> mask && destination == "00000000" && mask == "00000000") add(name);
  }
  std::ifstream ipv6(places.proc + "/net/ipv6_route");
  while (std::getline(ipv6, line)) {
    std::istringstream fields(line);
    std::vector<std::string> all;
    for (std::string field; fields >> field;) all.push_back(field);
    if (all.size() < 10 || all[1] != "00") continue;
    if (all[0].find_first_not_of('0') == std::string::npos) add(all[9]);
  }
  return devices;
}

}  // namespace sluice::cli
