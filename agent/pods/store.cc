// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/store.h"

#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "agent/pods/endpoint_names.h"
#include "lib/fd/fd.h"

namespace sluice {
namespace {

using json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr std::string_view kFileName = "pods.json";

json encode_endpoint(const LocalEndpoint& endpoint) {
  json target{{"network", endpoint.network},
              {"containerID", endpoint.container_id},
              {"ifname", endpoint.ifname},
              {"netns", endpoint.netns},
              {"podNamespace", endpoint.pod_namespace},
              {"podName", endpoint.pod_name},
              {"podUID", endpoint.pod_uid},
              {"hostDevice", endpoint.host_device},
              {"ifindex", endpoint.ifindex}};
  if (endpoint.ipv4) target["ipv4"] = to_string(*endpoint.ipv4);
  if (endpoint.ipv6) target["ipv6"] = to_string(*endpoint.ipv6);
  if (endpoint.mtu != 0) target["mtu"] = endpoint.mtu;
  target["createdUnixMs"] = endpoint.created_unix_ms;
  target["createdBootMs"] = endpoint.created_boot_ms;
  return target;
}

// Throws nlohmann's exceptions, which name the field; decode_pod_state catches them.
Result<LocalEndpoint> decode_endpoint(const json& source) {
  LocalEndpoint endpoint;
  endpoint.network = source.at("network").get<std::string>();
  endpoint.container_id = source.at("containerID").get<std::string>();
  endpoint.ifname = source.at("ifname").get<std::string>();
  endpoint.netns = source.at("netns").get<std::string>();
  endpoint.pod_namespace = source.at("podNamespace").get<std::string>();
  endpoint.pod_name = source.at("podName").get<std::string>();
  endpoint.pod_uid = source.at("podUID").get<std::string>();
  endpoint.host_device = source.at("hostDevice").get<std::string>();
  endpoint.ifindex = source.at("ifindex").get<uint32_t>();
  endpoint.mtu = source.value("mtu", uint32_t{0});
  endpoint.created_unix_ms = source.at("createdUnixMs").get<int64_t>();
  endpoint.created_boot_ms = source.value("createdBootMs", int64_t{0});
  for (const auto& [field, target] :
       {std::pair{"ipv4", &endpoint.ipv4}, std::pair{"ipv6", &endpoint.ipv6}}) {
    if (!source.contains(field)) continue;
    const auto address = parse_address(source.at(field).get<std::string>());
    if (!address) return fail(within(field, address.error()));
    *target = *address;
  }
  // Both follow from the key, so the file cannot contradict it.
  endpoint.pod_mac = pod_mac(key_of(endpoint));
  endpoint.host_mac = kGatewayMac;
  return endpoint;
}

Result<PodState> decode_object(const json& source) {
  const int version = source.at("version").get<int>();
  if (version != kVersion) {
    return fail(ErrorCode::kInvalid, "version: " + std::to_string(version) + ", this agent reads " +
                                         std::to_string(kVersion));
  }
  PodState state;
  for (const json& each : source.at("endpoints")) {
    auto endpoint = decode_endpoint(each);
    if (!endpoint) {
      return fail(
          within("endpoints[" + std::to_string(state.endpoints.size()) + "]", endpoint.error()));
    }
    state.endpoints.push_back(std::move(*endpoint));
  }
  for (const json& each : source.at("freed")) {
    const auto address = parse_address(each.at("address").get<std::string>());
    if (!address)
      return fail(within("freed[" + std::to_string(state.freed.size()) + "]", address.error()));
    state.freed.push_back(
        {.address = *address, .freed_unix_ms = each.at("freedUnixMs").get<int64_t>()});
  }
  return state;
}

// write_file names its temporary files ".pods.json.XXXXXX"; a kill before the rename leaves one.
void remove_leftovers(const std::string& directory) {
  std::error_code ignored;
  const std::string start = "." + std::string(kFileName) + ".";
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    if (entry.path().filename().string().starts_with(start))
      std::filesystem::remove(entry.path(), ignored);
  }
}

}  // namespace

std::string encode_pod_state(const PodState& state) {
  json endpoints = json::array();
  for (const LocalEndpoint& endpoint : state.endpoints)
    endpoints.push_back(encode_endpoint(endpoint));
  json freed = json::array();
  for (const FreedAddress& each : state.freed) {
    freed.push_back({{"address", to_string(each.address)}, {"freedUnixMs", each.freed_unix_ms}});
  }
  const json whole{{"version", kVersion}, {"endpoints", endpoints}, {"freed", freed}};
  return whole.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<PodState> decode_pod_state(const std::string& text) {
  const json whole = json::parse(text, nullptr, false);
  if (!whole.is_object()) return fail(ErrorCode::kInvalid, "no JSON object, or cut off");
  try {
    return decode_object(whole);
  } catch (const json::exception& error) {
    return fail(ErrorCode::kInvalid, error.what());
  }
}

Store::Store(std::string state_dir)
    : directory_(std::move(state_dir)), path_(directory_ + "/" + std::string(kFileName)) {}

Result<LoadedState> Store::load(int64_t now_ms) {
  (void)make_directories(directory_);
  remove_leftovers(directory_);
  LoadedState loaded;
  Result<std::string> text = read_file(path_);
  if (!text && text.error().code == ErrorCode::kNotFound) return loaded;
  if (!text) return fail(within("state", text.error()));

  Result<PodState> state = decode_pod_state(*text);
  if (state) {
    loaded.state = std::move(*state);
    loaded.found = true;
    return loaded;
  }
  const std::string aside = path_ + ".corrupt-" + std::to_string(now_ms);
  const bool moved = std::rename(path_.c_str(), aside.c_str()) == 0;
  loaded.condition =
      "the state file " + path_ + " is corrupt (" + state.error().message() + ") and " +
      (moved ? "was moved to " + aside : from_errno("cannot be moved aside").message()) +
      "; the pods were taken from the kernel's devices instead, freed addresses may be handed " +
      "out again before their rest is over";
  return loaded;
}

Status Store::save(const PodState& state) {
  if (Status replaced = replace(state); !replaced) return replaced;
  return sync_folder();
}

Status Store::replace(const PodState& state) {
  if (Status written = replace_file(path_, encode_pod_state(state)); !written) {
    return fail(within("save the pods' state", written.error()));
  }
  return {};
}

Status Store::sync_folder() {
  if (Status synced = sync_folder_of(path_); !synced) {
    return fail(within("save the pods' state", synced.error()));
  }
  return {};
}

}  // namespace sluice
