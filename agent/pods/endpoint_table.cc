// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/endpoint_table.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "agent/desired/pod_device.h"
#include "agent/pods/netns.h"
#include "agent/pods/pod_link.h"

namespace sluice {
namespace {

// Where runtimes keep the files of their namespaces.
constexpr const char* kNetnsFolders[] = {"/run/netns", "/run/docker/netns"};

bool is_inside(const LocalEndpoint& endpoint, const std::string& path) {
  const Result<Netns> netns = open_netns(path);
  if (!netns) return false;
  Result<Netlink> pod = Netlink::open_in(netns->fd.get());
  if (!pod) return false;
  const auto link = pod->link(endpoint.ifname);
  return link && link->mac == endpoint.pod_mac && link->peer_ifindex == endpoint.ifindex;
}

// An alias has no room for the namespace's path; empty where it is not found.
std::string netns_of(const LocalEndpoint& endpoint) {
  std::error_code ignored;
  for (const char* folder : kNetnsFolders) {
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
      if (is_inside(endpoint, entry.path())) return entry.path();
    }
  }
  return {};
}

}  // namespace

EndpointTable::EndpointTable(std::string state_dir, std::chrono::milliseconds rest)
    : store_(std::move(state_dir)), pools_(rest) {}

Result<RestoreReport> EndpointTable::restore(Netlink& host, int64_t now_ms) {
  Result<LoadedState> loaded = store_.load(now_ms);
  if (!loaded) return fail(loaded.error());
  const auto links = host.links();
  if (!links) return fail(links.error());

  RestoreReport report;
  report.condition = loaded->condition;
  std::vector<FreedAddress> freed = std::move(loaded->state.freed);
  for (LocalEndpoint& endpoint : loaded->state.endpoints) {
    const auto link = std::ranges::find(*links, endpoint.host_device, &LinkInfo::name);
    const EndpointKey key = key_of(endpoint);
    if (link != links->end() && looks_like_ours(*link) && !endpoints_.contains(key) &&
        claim_addresses(endpoint)) {
      endpoint.ifindex = link->ifindex;
      endpoints_.emplace(key, std::move(endpoint));
      ++report.restored;
      continue;
    }
    for (const auto& address : {endpoint.ipv4, endpoint.ipv6}) {
      if (address) freed.push_back({.address = *address, .freed_unix_ms = now_ms});
    }
    ++report.released;
  }
  adopt(host, *links, report);
  // Ranges come later, from the intent; what rests is kept until then.
  pools_.restore_freed(freed, now_ms);
  if (Status saved = store_.save(state()); !saved) report.save_failure = saved.error().message();
  return report;
}

void EndpointTable::adopt(Netlink& host, const std::vector<LinkInfo>& links,
                          RestoreReport& report) {
  for (const LinkInfo& link : links) {
    const bool known = std::ranges::any_of(
        endpoints_, [&](const auto& entry) { return entry.second.ifindex == link.ifindex; });
    if (known || !looks_like_ours(link)) continue;
    // To bring the host's end up is the last step before an ADD is remembered and answered: this
    // one was cut short by a crash. Nobody had an answer, and whoever asked asks again.
    if (!link.up) {
      if (!host.delete_link(link.ifindex)) continue;
      ++report.unfinished;
      spdlog::warn("device {} ({}) is of an ADD that was not finished: it was removed", link.name,
                   link.alias);
      continue;
    }

    std::optional<LocalEndpoint> endpoint = parse_endpoint_alias(link.alias);
    if (endpoint && endpoint->host_device == link.name && !endpoints_.contains(key_of(*endpoint)) &&
        claim_addresses(*endpoint)) {
      endpoint->ifindex = link.ifindex;
      endpoint->netns = netns_of(*endpoint);
      endpoints_.emplace(key_of(*endpoint), std::move(*endpoint));
      ++report.adopted;
    } else if (host.delete_link(link.ifindex)) {
      ++report.removed;
    }
  }
}

bool EndpointTable::claim_addresses(const LocalEndpoint& endpoint) {
  if (endpoint.ipv4 && !pools_.claim(*endpoint.ipv4)) return false;
  if (!endpoint.ipv6 || pools_.claim(*endpoint.ipv6)) return true;
  if (endpoint.ipv4) pools_.give_back(*endpoint.ipv4);
  return false;
}

const LocalEndpoint* EndpointTable::find(const EndpointKey& key) const {
  const auto found = endpoints_.find(key);
  return found == endpoints_.end() ? nullptr : &found->second;
}

void EndpointTable::insert(const LocalEndpoint& endpoint) {
  endpoints_.insert_or_assign(key_of(endpoint), endpoint);
}

void EndpointTable::erase(const EndpointKey& key, int64_t now_ms) {
  const auto found = endpoints_.find(key);
  if (found == endpoints_.end()) return;
  for (const auto& address : {found->second.ipv4, found->second.ipv6}) {
    if (address) pools_.release(*address, now_ms);
  }
  endpoints_.erase(found);
}

std::vector<LocalEndpoint> EndpointTable::find_leaks(std::span<const LinkInfo> links) const {
  std::vector<LocalEndpoint> leaks;
  for (const auto& [key, endpoint] : endpoints_) {
    if (std::ranges::find(links, endpoint.host_device, &LinkInfo::name) != links.end()) continue;
    // The path proves nothing: a new pod may have the name, or a process the number, of the old.
    if (!is_inside(endpoint, endpoint.netns)) leaks.push_back(endpoint);
  }
  return leaks;
}

PodState EndpointTable::state() const {
  PodState state;
  state.endpoints.reserve(endpoints_.size());
  for (const auto& [key, endpoint] : endpoints_) state.endpoints.push_back(endpoint);
  state.freed = pools_.freed();
  return state;
}

}  // namespace sluice
