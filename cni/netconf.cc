// SPDX-License-Identifier: Apache-2.0
#include "cni/netconf.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>

#include "lib/utf8/utf8.h"

namespace sluice::cni_plugin {
namespace {

using nlohmann::json;

constexpr int kDepthMax = 256;
constexpr size_t kIfnameMax = 15;  // IFNAMSIZ less the NUL

Failure invalid(std::string message) {
  return {.code = cni::v1::CNI_INVALID_CONFIG, .message = std::move(message), .details = {}};
}
Failure environment_failure(std::string message) {
  return {.code = cni::v1::CNI_INVALID_ENVIRONMENT, .message = std::move(message), .details = {}};
}

// Every level of nesting is a call on the stack where JSON is written again. What lies deeper is
// not kept.
json parse_flat(const std::string& text, bool& too_deep) {
  using Event = json::parse_event_t;
  const auto keep = [&too_deep](int depth, Event event, const json&) {
    const bool opens = event == Event::object_start || event == Event::array_start;
    if (opens && depth >= kDepthMax) too_deep = true;
    return !opens || depth < kDepthMax;
  };
  return json::parse(text, keep, false);
}

// What the specification allows for container ids and network names.
bool is_identifier(std::string_view text) {
  const auto alphanumeric = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  return !text.empty() && alphanumeric(text.front()) && std::ranges::all_of(text, [&](char c) {
    return alphanumeric(c) || c == '_' || c == '.' || c == '-';
  });
}

bool is_ifname(std::string_view text) {
  return text != "." && text != ".." && std::ranges::all_of(text, [](char c) {
           // The kernel would put a number in the place of "%d".
           return c != '/' && c != ':' && c != '%' && c != ' ' &&
                  std::iscntrl(static_cast<unsigned char>(c)) == 0;
         });
}

// Protobuf's strings are UTF-8: the agent could not even say which field was wrong.
std::optional<Failure> check_utf8(const Environment& environment) {
  const std::pair<const char*, const std::string&> variables[] = {
      {"CNI_NETNS", environment.netns},
      {"CNI_IFNAME", environment.ifname},
      {"CNI_ARGS", environment.args},
  };
  for (const auto& [name, value] : variables) {
    if (is_utf8(value)) continue;
    return environment_failure(std::string(name) + ": '" + printable(value) + "' is not UTF-8");
  }
  return std::nullopt;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : ", ") + text;
  return all;
}

std::optional<Failure> read_text(const json& object, const char* field, std::string& out) {
  const auto found = object.find(field);
  if (found == object.end()) return std::nullopt;
  if (!found->is_string()) return invalid(std::string(field) + ": must be a string");
  out = found->get<std::string>();
  return std::nullopt;
}

std::optional<Failure> read_path(const json& object, const char* field, std::string& out) {
  if (auto failure = read_text(object, field, out)) return failure;
  if (out.empty() || out.front() != '/')
    return invalid(std::string(field) + ": must be an absolute path");
  return std::nullopt;
}

std::optional<Failure> read_numbers(const json& object, NetConf& conf) {
  if (const auto timeout = object.find("timeoutSeconds"); timeout != object.end()) {
    if (!timeout->is_number() || !(timeout->get<double>() > 0) || timeout->get<double>() > 3600) {
      return invalid("timeoutSeconds: must be a number above 0, at most 3600");
    }
    conf.timeout =
        std::chrono::milliseconds(std::max(1L, std::lround(timeout->get<double>() * 1000)));
  }
  if (const auto mtu = object.find("mtu"); mtu != object.end()) {
    if (!mtu->is_number_unsigned() || (mtu->get<uint64_t>() != 0 && mtu->get<uint64_t>() < 1280) ||
        mtu->get<uint64_t>() > 65535) {
      return invalid("mtu: must be 0 (from the uplink) or 1280 to 65535");
    }
    conf.mtu = mtu->get<uint32_t>();
  }
  return std::nullopt;
}

std::optional<Failure> read_attachments(const json& object, NetConf& conf) {
  // Some runtimes write both keys, with one value: an early text of the specification had the
  // second.
  auto list = object.find("cni.dev/valid-attachments");
  if (list == object.end()) list = object.find("cni.dev/attachments");
  if (list == object.end()) return std::nullopt;
  conf.has_valid_attachments = true;
  if (list->is_null()) return std::nullopt;  // an empty list in Go
  if (!list->is_array()) return invalid("cni.dev/valid-attachments: must be a list");
  for (const json& entry : *list) {
    cni::v1::Attachment attachment;
    std::string container;
    std::string ifname;
    if (!entry.is_object() || read_text(entry, "containerID", container) ||
        read_text(entry, "ifname", ifname) || container.empty() || ifname.empty()) {
      return invalid("cni.dev/valid-attachments[" + std::to_string(conf.valid_attachments.size()) +
                     "]: must have containerID and ifname");
    }
    attachment.set_container_id(container);
    attachment.set_ifname(ifname);
    conf.valid_attachments.push_back(std::move(attachment));
  }
  return std::nullopt;
}

std::optional<Failure> read_version(const json& object, std::string& version) {
  if (auto failure = read_text(object, "cniVersion", version)) return failure;
  if (is_supported(version)) return std::nullopt;
  return Failure{.code = cni::v1::CNI_INCOMPATIBLE_VERSION,
                 .message = version.empty() ? "cniVersion: the configuration names none"
                                            : "cniVersion: " + version + " is not supported",
                 .details = "supported are " + joined(supported_versions())};
}

// What a result's lists may not be; empty: nothing.
std::string problem_of(const json& previous) {
  for (const char* field : {"interfaces", "ips", "routes"}) {
    const auto list = previous.find(field);
    if (list == previous.end() || list->is_null()) continue;
    const std::string name = std::string("prevResult.") + field;
    if (!list->is_array()) return name + ": must be a list of objects";
    for (size_t i = 0; i < list->size(); ++i) {
      if (!(*list)[i].is_object()) return name + "[" + std::to_string(i) + "]: must be an object";
    }
  }
  return {};
}

std::optional<Failure> read_fields(const json& object, NetConf& conf) {
  if (auto failure = read_version(object, conf.version)) return failure;
  if (auto failure = read_text(object, "name", conf.network)) return failure;
  if (!is_identifier(conf.network)) {
    return invalid("name: '" + conf.network +
                   "' must be a letter or digit, then letters, digits, '_', '.' or '-'");
  }
  if (auto failure = read_path(object, "socket", conf.socket)) return failure;
  if (auto failure = read_path(object, "queueDir", conf.queue_dir)) return failure;
  if (auto failure = read_numbers(object, conf)) return failure;
  if (auto failure = read_attachments(object, conf)) return failure;
  if (const auto ipam = object.find("ipam");
      ipam != object.end() && ipam->is_object() && !ipam->empty()) {
    return Failure{
        .code = cni::v1::CNI_UNSUPPORTED_FIELD,
        .message =
            "ipam: Sluice gives the addresses itself, from the node's pod CIDRs; remove the field",
        .details = {}};
  }
  if (const auto previous = object.find("prevResult");
      previous != object.end() && !previous->is_null()) {
    if (!previous->is_object()) return invalid("prevResult: must be an object");
    conf.previous_problem = problem_of(*previous);
    conf.previous_result = previous->dump();
  }
  return std::nullopt;
}

}  // namespace

const std::vector<std::string>& supported_versions() {
  static const std::vector<std::string> kVersions{"0.4.0", "1.0.0", "1.1.0"};
  return kVersions;
}

bool is_supported(std::string_view version) {
  return std::ranges::find(supported_versions(), version) != supported_versions().end();
}

bool at_least(std::string_view version, std::string_view wanted) {
  const auto& all = supported_versions();
  return std::ranges::find(all, version) >= std::ranges::find(all, wanted);
}

Expected<NetConf> parse_netconf(const std::string& text) {
  bool too_deep = false;
  const json object = parse_flat(text, too_deep);
  if (too_deep) {
    return tl::unexpected(
        Failure{.code = cni::v1::CNI_DECODE_FAILURE,
                .message = "the network configuration on stdin is nested too deeply",
                .details = std::to_string(kDepthMax) + " levels are read"});
  }
  if (!object.is_object()) {
    return tl::unexpected(Failure{.code = cni::v1::CNI_DECODE_FAILURE,
                                  .message = "the network configuration on stdin is no JSON object",
                                  .details = std::to_string(text.size()) + " bytes were read"});
  }
  NetConf conf;
  try {
    if (auto failure = read_fields(object, conf)) return tl::unexpected(std::move(*failure));
  } catch (const json::exception& error) {
    // dump() of a prevResult with broken UTF-8.
    return tl::unexpected(Failure{.code = cni::v1::CNI_DECODE_FAILURE,
                                  .message = "the network configuration on stdin cannot be read",
                                  .details = error.what()});
  }
  return conf;
}

std::string version_of(const std::string& text) {
  bool too_deep = false;
  const json object = parse_flat(text, too_deep);
  if (!object.is_object()) return {};
  const auto found = object.find("cniVersion");
  if (found == object.end() || !found->is_string()) return {};
  const std::string version = found->get<std::string>();
  return is_supported(version) ? version : std::string();
}

std::optional<Failure> check_environment(const Environment& environment) {
  const std::string& command = environment.command;
  const bool attachment = command == "ADD" || command == "DEL" || command == "CHECK";
  if (command.empty()) return environment_failure("CNI_COMMAND: not set");
  if (!attachment && command != "GC" && command != "STATUS" && command != "VERSION") {
    return environment_failure("CNI_COMMAND: '" + command +
                               "' is none of ADD, DEL, CHECK, GC, STATUS, VERSION");
  }
  if (auto failure = check_utf8(environment)) return failure;
  if (!attachment) return std::nullopt;

  std::vector<std::string> missing;
  if (environment.container_id.empty()) missing.emplace_back("CNI_CONTAINERID");
  if (environment.netns.empty() && command != "DEL") missing.emplace_back("CNI_NETNS");
  if (environment.ifname.empty()) missing.emplace_back("CNI_IFNAME");
  if (!missing.empty())
    return environment_failure(joined(missing) + ": not set, " + command + " needs it");

  if (!is_identifier(environment.container_id)) {
    return environment_failure(
        "CNI_CONTAINERID: '" + environment.container_id +
        "' must be a letter or digit, then letters, digits, '_', '.' or '-'");
  }
  if (command != "DEL" && environment.netns.front() != '/') {
    return environment_failure("CNI_NETNS: '" + printable(environment.netns) +
                               "' must be an absolute path");
  }
  if (environment.ifname.size() > kIfnameMax) {
    return environment_failure("CNI_IFNAME: '" + printable(environment.ifname) + "' has " +
                               std::to_string(environment.ifname.size()) +
                               " characters, a device's name has at most 15");
  }
  if (!is_ifname(environment.ifname)) {
    return environment_failure("CNI_IFNAME: '" + printable(environment.ifname) +
                               "' is no name for a device");
  }
  return std::nullopt;
}

Expected<std::map<std::string, std::string>> parse_args(std::string_view args) {
  std::map<std::string, std::string> all;
  while (!args.empty()) {
    const std::string_view pair = args.substr(0, args.find(';'));
    args.remove_prefix(std::min(args.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    if (equals == 0 || equals == std::string_view::npos) {
      return tl::unexpected(
          environment_failure("CNI_ARGS: '" + std::string(pair) + "' is no KEY=VALUE"));
    }
    all[std::string(pair.substr(0, equals))] = pair.substr(equals + 1);
  }
  return all;
}

Expected<cni::v1::CniRequest> make_request(const Environment& environment, const NetConf& conf) {
  const std::string& command = environment.command;
  const std::string_view since = command == "GC" || command == "STATUS" ? "1.1.0" : "0.4.0";
  if (!at_least(conf.version, since)) {
    return tl::unexpected(Failure{.code = cni::v1::CNI_INCOMPATIBLE_VERSION,
                                  .message = command + " came with cniVersion " +
                                             std::string(since) + ", the configuration has " +
                                             conf.version,
                                  .details = {}});
  }
  // Nothing must hold a DEL up that can go without.
  if ((command == "ADD" || command == "CHECK") && !conf.previous_problem.empty())
    return tl::unexpected(invalid(conf.previous_problem));
  if (command == "GC" && !conf.has_valid_attachments) {
    return tl::unexpected(
        invalid("cni.dev/valid-attachments: missing; without it GC would free what is in use"));
  }
  auto args = parse_args(environment.args);
  if (!args) return tl::unexpected(args.error());

  cni::v1::CniRequest request;
  request.set_command(command);
  request.set_container_id(environment.container_id);
  request.set_netns(environment.netns);
  request.set_ifname(environment.ifname);
  request.mutable_args()->insert(args->begin(), args->end());
  request.set_cni_version(conf.version);
  request.set_network(conf.network);
  request.set_previous_result_json(conf.previous_result);
  request.set_mtu(conf.mtu);
  for (const auto& attachment : conf.valid_attachments)
    *request.add_valid_attachments() = attachment;
  return request;
}

}  // namespace sluice::cni_plugin
