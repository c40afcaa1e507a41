// SPDX-License-Identifier: Apache-2.0
// Which devices of the host lead outside.
#include "agent/desired/uplinks.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <string_view>
#include <tuple>

namespace sluice {
namespace {

constexpr uint32_t kNoDefaultRoute = std::numeric_limits<uint32_t>::max();
constexpr uint8_t kScopeLink = 253;  // RT_SCOPE_LINK and above: not for other hosts

bool is_link_local_ipv6(const Address& address) {
  return address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

bool is_loopback(const Address& address) {
  if (address.is_ipv4()) return address.bytes[12] == 127;
  return to_string(address) == "::1";
}

bool is_pod_device(const LinkInfo& link) {
  const std::string_view name = link.name;
  const std::string_view prefix = kPodDevicePrefix;
  if (!name.starts_with(prefix) || name.size() != prefix.size() + 12) return false;
  return name.find_first_not_of("0123456789abcdef", prefix.size()) == std::string_view::npos;
}

bool is_engine_bridge(const LinkInfo& link) {
  static constexpr std::array<std::string_view, 9> kNames = {
      "docker", "cni", "br-", "podman", "virbr", "lxcbr", "lxdbr", "nerdctl", "kube-bridge"};
  if (link.kind != "bridge") return false;
  return std::any_of(kNames.begin(), kNames.end(),
                     [&](std::string_view name) { return link.name.starts_with(name); });
}

bool matches(const std::string& device, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return fnmatch(pattern.c_str(), device.c_str(), 0) == 0;
  });
}

// Lowest metric of a default route by device.
std::map<uint32_t, uint32_t> default_routes(const std::vector<RouteInfo>& routes) {
  std::map<uint32_t, uint32_t> metrics;
  for (const RouteInfo& route : routes) {
    if (route.destination.family_length() != 0 || route.ifindex == 0) continue;
    const auto [at, is_new] = metrics.emplace(route.ifindex, route.metric);
    if (!is_new) at->second = std::min(at->second, route.metric);
  }
  return metrics;
}

bool holds(const std::vector<Address>& wanted, const Address& address) {
  return std::find(wanted.begin(), wanted.end(), address) != wanted.end();
}

Prefix subnet_of(const AddressInfo& info) {
  const auto bits =
      static_cast<uint8_t>(info.prefix_length + (info.address.is_ipv4() ? IPV4_MAPPED_BITS : 0));
  Prefix subnet{.address = info.address, .length = bits};
  for (size_t bit = bits; bit < 128; ++bit) {
    auto& byte = subnet.address.bytes[bit / 8];
    byte = static_cast<uint8_t>(byte & ~(0x80U >> (bit % 8)));
  }
  return subnet;
}

Uplink describe_link(const LinkInfo& link, const HostNetwork& host,
                     const std::vector<Address>& node_addresses) {
  Uplink uplink{
      .name = link.name, .ifindex = link.ifindex, .mtu = link.mtu, .subnets = {}, .addresses = {}};
  for (const AddressInfo& info : host.addresses) {
    if (info.ifindex != link.ifindex || info.scope >= kScopeLink ||
        is_link_local_ipv6(info.address))
      continue;
    // Nothing may speak from an address that may be another machine's; and new connections, which
    // translation makes from it, not from one that is about to go.
    if (!info.tentative && !info.deprecated) uplink.addresses.push_back(info.address);
    const Prefix subnet = subnet_of(info);
    if (subnet.length < 128) uplink.subnets.push_back(subnet);
  }
  std::sort(uplink.subnets.begin(), uplink.subnets.end());
  uplink.subnets.erase(std::unique(uplink.subnets.begin(), uplink.subnets.end()),
                       uplink.subnets.end());
  std::stable_partition(uplink.addresses.begin(), uplink.addresses.end(),
                        [&](const Address& address) { return holds(node_addresses, address); });
  return uplink;
}

std::vector<Address> sorted(std::vector<Address> addresses) {
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  return addresses;
}

}  // namespace

std::vector<Uplink> find_uplinks(const HostNetwork& host,
                                 const std::vector<std::string>& configured,
                                 const std::vector<Address>& node_addresses) {
  const auto metrics = default_routes(host.routes);
  std::vector<uint32_t> holders;
  for (const AddressInfo& info : host.addresses) {
    if (holds(node_addresses, info.address)) holders.push_back(info.ifindex);
  }
  std::vector<std::pair<uint32_t, Uplink>> ranked;  // metric of the default route, uplink
  for (const LinkInfo& link : host.links) {
    if (link.loopback || is_pod_device(link) || link.name == kOverlayDevice) continue;
    const auto metric = metrics.find(link.ifindex);
    const bool has_default = metric != metrics.end();
    const bool found =
        has_default || std::find(holders.begin(), holders.end(), link.ifindex) != holders.end();
    if (configured.empty() ? !found || is_engine_bridge(link) : !matches(link.name, configured))
      continue;
    ranked.emplace_back(has_default ? metric->second : kNoDefaultRoute,
                        describe_link(link, host, node_addresses));
  }
  std::sort(ranked.begin(), ranked.end(),
            [](const auto& a, const auto& b) { return a.second.ifindex < b.second.ifindex; });
  const auto first = std::min_element(
      ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  if (first != ranked.end()) std::rotate(ranked.begin(), first, first + 1);
  std::vector<Uplink> uplinks;
  for (auto& [metric, uplink] : ranked) uplinks.push_back(std::move(uplink));
  return uplinks;
}

std::vector<Address> find_host_addresses(const HostNetwork& host) {
  std::vector<Address> addresses;
  for (const AddressInfo& info : host.addresses) {
    if (is_loopback(info.address) || is_link_local_ipv6(info.address)) continue;
    addresses.push_back(info.address);
  }
  return sorted(std::move(addresses));
}

std::vector<Address> find_taken_addresses(const HostNetwork& host) {
  std::vector<Address> addresses = find_host_addresses(host);
  for (const RouteInfo& route : host.routes) {
    if (route.via.is_set()) addresses.push_back(route.via);
  }
  return sorted(std::move(addresses));
}

}  // namespace sluice
