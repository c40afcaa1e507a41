// SPDX-License-Identifier: Apache-2.0
// What the container runtime hands to the plugin: CNI_* variables and the network configuration,
// checked here.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "cni/v1/cni.pb.h"

namespace sluice::cni_plugin {

inline constexpr std::string_view kDefaultSocket = "/run/sluice/agent.sock";
inline constexpr std::string_view kDefaultQueue = "/var/lib/sluice/cni-queue";
inline constexpr std::string_view kNewestVersion = "1.1.0";

// What goes to stdout instead of a result. Codes: cni.v1.CniError.
struct Failure {
  uint32_t code = 0;
  std::string message;
  std::string details;
};
template <class T>
using Expected = tl::expected<T, Failure>;

// Oldest first.
const std::vector<std::string>& supported_versions();
bool is_supported(std::string_view version);
// "1.0.0" >= "0.4.0"; both must be supported versions.
bool at_least(std::string_view version, std::string_view wanted);

struct Environment {
  std::string command;
  std::string container_id;
  std::string netns;
  std::string ifname;
  std::string args;
};

struct NetConf {
  std::string version;
  std::string network;
  std::string socket{kDefaultSocket};
  std::string queue_dir{kDefaultQueue};
  std::chrono::milliseconds timeout{60'000};
  uint32_t mtu = 0;
  std::string previous_result;   // JSON text; empty: none
  std::string previous_problem;  // why ADD and CHECK cannot use it; empty: they can
  std::vector<cni::v1::Attachment> valid_attachments;
  bool has_valid_attachments = false;
};

// Code 6: no JSON object. Code 1: a version that is not supported. Code 7: a field, named, that is
// wrong. Code 2: a field that Sluice cannot honour.
Expected<NetConf> parse_netconf(const std::string& text);
// The configuration's cniVersion even where the rest is wrong; empty where it has none that is
// supported.
std::string version_of(const std::string& text);
// Code 4, naming each variable that is missing or wrong for the command.
std::optional<Failure> check_environment(const Environment& environment);
// "A=b;C=d". Code 4.
Expected<std::map<std::string, std::string>> parse_args(std::string_view args);
// The whole request. Code 1 where the configuration's version does not know the command; code 7
// where a field is wrong that only this command needs.
Expected<cni::v1::CniRequest> make_request(const Environment& environment, const NetConf& conf);

}  // namespace sluice::cni_plugin
