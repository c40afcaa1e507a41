// SPDX-License-Identifier: Apache-2.0
#include "cni/result.h"

#include <nlohmann/json.hpp>

namespace sluice::cni_plugin {
namespace {

using json = nlohmann::ordered_json;

json list_of(const json& previous, const char* field) {
  const auto found = previous.find(field);
  return found != previous.end() && found->is_array() ? *found : json::array();
}

json interface_of(const cni::v1::Interface& source, bool newest) {
  json target{{"name", source.name()}};
  if (!source.mac().empty()) target["mac"] = source.mac();
  if (newest && source.mtu() != 0) target["mtu"] = source.mtu();
  if (!source.sandbox().empty()) target["sandbox"] = source.sandbox();
  return target;
}

json address_of(const cni::v1::IpConfig& source, size_t first_interface, bool with_family) {
  json target = json::object();
  if (with_family) target["version"] = source.address().find(':') == std::string::npos ? "4" : "6";
  target["interface"] = first_interface + source.interface_index();
  target["address"] = source.address();
  if (!source.gateway().empty()) target["gateway"] = source.gateway();
  return target;
}

json route_of(const cni::v1::Route& source, bool newest) {
  json target{{"dst", source.destination()}};
  if (!source.gateway().empty()) target["gw"] = source.gateway();
  if (newest && source.mtu() != 0) target["mtu"] = source.mtu();
  return target;
}

std::string print(const json& object) {
  // A foreign prevResult may hold broken UTF-8: a replacement character is better than no result.
  return object.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string add_result(const NetConf& conf, const cni::v1::CniResponse& response) {
  json previous = conf.previous_result.empty() ? json::object()
                                               : json::parse(conf.previous_result, nullptr, false);
  if (!previous.is_object()) previous = json::object();
  auto interfaces = list_of(previous, "interfaces");
  auto ips = list_of(previous, "ips");
  auto routes = list_of(previous, "routes");

  const bool newest = at_least(conf.version, "1.1.0");
  const size_t first_interface = interfaces.size();
  for (const auto& each : response.interfaces()) interfaces.push_back(interface_of(each, newest));
  for (const auto& each : response.ips()) {
    ips.push_back(address_of(each, first_interface, !at_least(conf.version, "1.0.0")));
  }
  for (const auto& each : response.routes()) routes.push_back(route_of(each, newest));

  json result{
      {"cniVersion", conf.version}, {"interfaces", interfaces}, {"ips", ips}, {"routes", routes}};
  const auto dns = previous.find("dns");
  result["dns"] = dns != previous.end() && dns->is_object() ? *dns : json::object();
  return print(result);
}

std::string error_result(const std::string& version, const Failure& failure) {
  json result{{"cniVersion", version.empty() ? std::string(kNewestVersion) : version},
              {"code", failure.code},
              {"msg", failure.message}};
  if (!failure.details.empty()) result["details"] = failure.details;
  return print(result);
}

std::string version_result(const std::string& version) {
  return print(json{{"cniVersion", version.empty() ? std::string(kNewestVersion) : version},
                    {"supportedVersions", supported_versions()}});
}

}  // namespace sluice::cni_plugin
