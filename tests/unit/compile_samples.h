// SPDX-License-Identifier: Apache-2.0
// A small cluster as desired state, and rows as text.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "agent/compile/compile.h"

namespace sluice {

inline Address ip(const std::string& text) {
  return *parse_address(text);
}
inline Prefix cidr(const std::string& text) {
  return *parse_prefix(text);
}

inline PodIntent pod(const std::string& namespace_name, const std::string& name,
                     const std::string& node, const std::vector<std::string>& addresses = {}) {
  PodIntent result{.namespace_name = namespace_name,
                   .name = name,
                   .node = node,
                   .identity = "namespace=" + namespace_name};
  for (const auto& address : addresses) result.addresses.push_back(ip(address));
  return result;
}

inline LocalEndpoint local(const std::string& container_id, uint32_t ifindex,
                           const std::string& ipv4, const std::string& ipv6) {
  LocalEndpoint endpoint{
      .network = "sluice", .container_id = container_id, .ifname = "eth0", .ifindex = ifindex};
  endpoint.ipv4 = ip(ipv4);
  endpoint.ipv6 = ip(ipv6);
  endpoint.pod_mac.bytes = {2, 0, 0, 0, 0, static_cast<uint8_t>(ifindex)};
  endpoint.host_mac.bytes = {2, 0, 0, 0, 1, static_cast<uint8_t>(ifindex)};
  return endpoint;
}

// n1 is this node; n2 is on its subnet, n3 is not. All dual stack.
inline Desired three_nodes() {
  Desired desired;
  desired.settings.node_name = "n1";
  desired.intent.nodes = {
      {.name = "n1",
       .addresses = {ip("192.0.2.1"), ip("2001:db8::1")},
       .pod_cidrs = {cidr("10.1.0.0/24"), cidr("fd00:1::/64")}},
      {.name = "n2",
       .addresses = {ip("192.0.2.2"), ip("2001:db8::2")},
       .pod_cidrs = {cidr("10.2.0.0/24"), cidr("fd00:2::/64")}},
      {.name = "n3",
       .addresses = {ip("198.51.100.3"), ip("2001:db8:3::3")},
       .pod_cidrs = {cidr("10.3.0.0/24"), cidr("fd00:3::/64")}},
  };
  desired.intent.pods = {pod("a", "far", "n3", {"10.3.0.5", "fd00:3::5"}),
                         pod("a", "near", "n2", {"10.2.0.5"}),
                         pod("b", "here", "n1", {"10.1.0.5"})};
  desired.identity_numbers = {{"namespace=a", 256}, {"namespace=b", 257}};
  desired.endpoints = {local("b-here", 11, "10.1.0.5", "fd00:1::5")};
  desired.uplinks = {{.name = "eth0",
                      .ifindex = 2,
                      .mtu = 1500,
                      .subnets = {cidr("192.0.2.0/24"), cidr("2001:db8::/64")},
                      .addresses = {ip("192.0.2.1"), ip("2001:db8::1")}}};
  desired.host_addresses = {ip("192.0.2.1"), ip("2001:db8::1")};
  desired.overlay_ifindex = 9;
  return desired;
}

// "256 remote-pod|tunnel if=0 node=198.51.100.3", so that a failure says what the row is.
inline std::string text(const identity_row& row) {
  std::string flags;
  const auto add = [&](uint32_t flag, const char* flag_name) {
    if ((row.flags & flag) != 0) flags += (flags.empty() ? "" : "|") + std::string(flag_name);
  };
  add(ADDRESS_LOCAL_POD, "local-pod");
  add(ADDRESS_REMOTE_POD, "remote-pod");
  add(ADDRESS_THIS_NODE, "this-node");
  add(ADDRESS_REMOTE_NODE, "remote-node");
  add(ADDRESS_TUNNEL, "tunnel");
  add(ADDRESS_TRANSLATE, "translate");
  const Address node = from_abi(row.node);
  return std::to_string(row.identity) + " " + flags + " if=" + std::to_string(row.ifindex) +
         (node.is_set() ? " node=" + to_string(node) : "");
}

inline std::string row(const Rows& rows, const std::string& prefix) {
  const auto at = rows.identities.find(cidr(prefix));
  return at == rows.identities.end() ? "none" : text(at->second);
}

inline std::string text(const RouteRow& route) {
  return to_string(route.destination) + " dev " + std::to_string(route.ifindex) +
         (route.via.is_set() ? " via " + to_string(route.via) : "") +
         (route.source.is_set() ? " src " + to_string(route.source) : "") +
         (route.mtu != 0 ? " mtu " + std::to_string(route.mtu) : "");
}

inline std::vector<std::string> routes(const Rows& rows) {
  std::vector<std::string> result;
  for (const RouteRow& route : rows.routes) result.push_back(text(route));
  std::sort(result.begin(), result.end());
  return result;
}

// Every byte of every row.
inline std::string bytes(const Rows& rows) {
  std::string all;
  const auto add = [&](const auto& value) {
    all.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  add(rows.config);
  add(rows.node);
  for (const auto& [key, value] : rows.identities) add(key), add(value);
  for (const auto& [key, value] : rows.endpoints) add(key), add(value);
  for (const auto& [key, value] : rows.devices) add(key), add(value);
  for (const auto& [key, value] : rows.attachments) add(key), add(value);
  for (const auto& route : rows.routes) all += text(route) + "\n";
  for (const auto& entry : rows.neighbours)
    all += to_string(entry.address) + to_string(entry.mac), add(entry.ifindex);
  for (const auto& [key, value] : rows.own_mtus) add(key), add(value);
  add(rows.needs_overlay), add(rows.pod_mtu), add(rows.pod_route_mtu), add(rows.ipv6_fits);
  return all;
}

}  // namespace sluice
