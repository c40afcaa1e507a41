// SPDX-License-Identifier: Apache-2.0
// DEL, CHECK, GC and STATUS.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/pods/pod_reply.h"
#include "agent/pods/pod_service.h"

namespace sluice {

using cni::v1::CniRequest;
using cni::v1::CniResponse;

namespace {

using nlohmann::json;

std::string text_of(const json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The addresses that prevResult gives to our interface, without prefix length; nullopt where it
// does not name it.
std::optional<std::vector<std::string>> previous_addresses(const json& previous,
                                                           const std::string& ifname) {
  const json interfaces = previous.value("interfaces", json::array());
  const json ips = previous.value("ips", json::array());
  if (!interfaces.is_array() || !ips.is_array()) return std::nullopt;
  std::optional<std::vector<std::string>> found;
  for (size_t i = 0; i < interfaces.size(); ++i) {
    if (text_of(interfaces[i], "name") != ifname || text_of(interfaces[i], "sandbox").empty())
      continue;
    if (!found) found.emplace();
    for (const json& ip : ips) {
      const auto index = ip.find("interface");
      if (index == ip.end() || !index->is_number_unsigned() || index->get<size_t>() != i) continue;
      const std::string address = text_of(ip, "address");
      found->push_back(address.substr(0, address.find('/')));
    }
  }
  return found;
}

void compare_previous_result(const CniRequest& request, const LocalEndpoint& endpoint,
                             std::vector<std::string>& problems) {
  if (request.previous_result_json().empty()) return;
  const json previous = json::parse(request.previous_result_json(), nullptr, false);
  if (!previous.is_object()) {
    problems.emplace_back("prevResult is no JSON object");
    return;
  }
  std::optional<std::vector<std::string>> listed;
  try {
    listed = previous_addresses(previous, endpoint.ifname);
  } catch (const json::exception& error) {
    problems.push_back(std::string("prevResult cannot be read: ") + error.what());
    return;
  }
  if (!listed) {
    problems.push_back("prevResult does not name interface " + endpoint.ifname);
    return;
  }
  for (const auto& address : {endpoint.ipv4, endpoint.ipv6}) {
    if (address && std::ranges::find(*listed, to_string(*address)) == listed->end()) {
      problems.push_back("prevResult does not have address " + to_string(*address) + " on " +
                         endpoint.ifname);
    }
  }
}

}  // namespace

void PodService::del(const CniRequest& request, const Reply& reply) {
  ++counters_.dels;
  const EndpointKey key = key_of(request);
  const LocalEndpoint* endpoint = table_.find(key);
  if (endpoint != nullptr) {
    if (std::string why = other_uid(request, *endpoint); !why.empty())
      return reply(refusal(cni::v1::CNI_INVALID_ENVIRONMENT, std::move(why)));
  }
  const bool known = endpoint != nullptr;
  if (Status removed = remove_endpoint(key, "DEL came for it"); !removed) {
    return reply(refusal(cni::v1::CNI_KERNEL_REFUSED, "remove " + to_string(key),
                         removed.error().message()));
  }
  if (known) publish();
  reply(CniResponse());
}

void PodService::check(const CniRequest& request, const Reply& reply) {
  const EndpointKey key = key_of(request);
  const LocalEndpoint* endpoint = table_.find(key);
  if (endpoint == nullptr) {
    return reply(
        refusal(cni::v1::CNI_UNKNOWN_CONTAINER,
                to_string(key) + " is not known to sluice-agent: no ADD for it succeeded"));
  }
  std::vector<std::string> problems;
  const Result<Netns> netns = open_netns(request.netns());
  if (netns) {
    problems = pod_link_problems(*host_, *endpoint, *netns, mtu_of(*endpoint, mtu_));
  } else {
    problems.push_back("CNI_NETNS: " + netns.error().message());
  }
  if (hooks_.probe != nullptr)
    std::ranges::move(hooks_.probe->problems(*endpoint), std::back_inserter(problems));
  compare_previous_result(request, *endpoint, problems);
  if (problems.empty()) return reply(CniResponse());

  std::string all;
  for (const std::string& problem : problems) all += (all.empty() ? "" : "; ") + problem;
  reply(refusal(cni::v1::CNI_CHECK_FAILED,
                "CHECK of " + to_string(key) + " found " + std::to_string(problems.size()) +
                    (problems.size() == 1 ? " problem" : " problems"),
                all));
}

void PodService::collect_garbage(const CniRequest& request, const Reply& reply) {
  std::set<EndpointKey> valid;
  for (const auto& each : request.valid_attachments()) {
    valid.insert({.network = request.network(),
                  .container_id = each.container_id(),
                  .ifname = each.ifname()});
  }
  std::vector<EndpointKey> garbage;
  for (const auto& [key, endpoint] : table_.all()) {
    // The runtime's list may be older than an ADD that it still waits for.
    if (key.network == request.network() && !valid.contains(key) && !unanswered_.contains(key))
      garbage.push_back(key);
  }
  std::string failures;
  for (const EndpointKey& key : garbage) {
    if (Status removed = remove_endpoint(key, "GC removed it"); !removed) {
      failures +=
          (failures.empty() ? "" : "; ") + to_string(key) + ": " + removed.error().message();
    } else {
      ++counters_.gc_released;
    }
  }
  if (!garbage.empty()) publish();
  if (failures.empty()) return reply(CniResponse());
  reply(refusal(cni::v1::CNI_KERNEL_REFUSED,
                "GC of network " + request.network() + " could not remove all", failures));
}

void PodService::status(const Reply& reply) {
  const auto why = hooks_.not_ready ? hooks_.not_ready() : std::nullopt;
  if (stopped_) return reply(refusal(cni::v1::CNI_NOT_AVAILABLE, "sluice-agent is stopping"));
  const bool limited = hooks_.running_pods_suffer && hooks_.running_pods_suffer();
  const auto code = limited ? cni::v1::CNI_LIMITED : cni::v1::CNI_NOT_AVAILABLE;
  if (why) return reply(refusal(code, "sluice-agent is not ready: " + *why));
  reply(CniResponse());
}

}  // namespace sluice
