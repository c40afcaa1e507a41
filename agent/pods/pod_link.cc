// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/pod_link.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/pods/endpoint_names.h"

namespace sluice {
namespace {

// Of routes whose place in the pod is taken; behind IPv6's default of 1024.
constexpr uint32_t kLaterMetric = 1U << 16;

Address gateway(bool ipv4) {
  return *parse_address(ipv4 ? kGatewayIpv4 : kGatewayIpv6);
}

Prefix anywhere(bool ipv4) {
  return ipv4 ? Prefix{.address = *parse_address("0.0.0.0"), .length = 96} : Prefix{};
}

// What the pod's side needs to reach the gateway, in the order in which the kernel takes it.
std::vector<RouteInfo> pod_routes(const LocalEndpoint& endpoint, uint32_t ifindex, uint32_t mtu) {
  std::vector<RouteInfo> routes;
  const auto add = [&](const Prefix& destination, const Address& via, uint32_t route_mtu) {
    RouteInfo route;
    route.destination = destination;
    route.ifindex = ifindex;
    route.via = via;
    route.mtu = route_mtu;
    route.onlink = via.is_set();
    routes.push_back(route);
  };
  if (endpoint.ipv4) {
    add(host_prefix(gateway(true)), {}, 0);
    add(anywhere(true), gateway(true), mtu);
  }
  if (endpoint.ipv6) {
    add(host_prefix(gateway(false)), {}, 0);
    add(anywhere(false), gateway(false), mtu == 0 ? 0 : std::max(mtu, kIpv6MtuMin));
  }
  return routes;
}

// To pods of the same node no header is added: where the default routes leave room for one, packets
// between them may still be as large as the device takes (N7).
std::vector<RouteInfo> near_routes(const LocalEndpoint& endpoint, uint32_t ifindex, PodMtu mtu,
                                   std::span<const Prefix> node_ranges) {
  std::vector<RouteInfo> routes;
  if (mtu.route == 0 || mtu.route >= mtu.device) return routes;
  for (const Prefix& range : node_ranges) {
    const bool ipv4 = range.is_ipv4();
    if (ipv4 ? !endpoint.ipv4 : !endpoint.ipv6) continue;
    RouteInfo route;
    route.destination = range;
    route.ifindex = ifindex;
    route.via = gateway(ipv4);
    route.onlink = true;
    routes.push_back(route);
  }
  return routes;
}

Status write_sysctl(const std::string& path, std::string_view value) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return fail(from_errno("open " + path));
  if (write(fd.get(), value.data(), value.size()) < 0) return fail(from_errno("write " + path));
  return {};
}

// Runtimes hand over namespaces with IPv6 off; and a pod must not take routes from whoever sends
// advertisements.
Status prepare_ipv6(const std::string& ifname, const Netns& netns) {
  return run_in_netns(netns, [&]() -> Status {
    const std::string folder = "/proc/sys/net/ipv6/conf/" + ifname + "/";
    if (Status on = write_sysctl(folder + "disable_ipv6", "0"); !on) return on;
    return write_sysctl(folder + "accept_ra", "0");
  });
}

Status bring_loopback_up(Netlink& pod) {
  const auto loopback = pod.link("lo");
  if (!loopback) return fail(loopback.error());
  return loopback->up ? Status() : pod.set_link_up(loopback->ifindex);
}

// A second interface must not take the routes of the first one, nor those that another plugin made:
// its own come behind them, for sockets bound to it and for the time when the others are gone.
Status add_pod_route(Netlink& pod, RouteInfo route) {
  Status added = pod.add_route(route);
  if (added || added.error().code != ErrorCode::kExists) return added;
  route.metric = kLaterMetric + route.ifindex;
  return pod.add_route(route);
}

Status configure_pod_side(const LocalEndpoint& endpoint, const Netns& netns, PodMtu mtu,
                          std::span<const Prefix> node_ranges) {
  Result<Netlink> pod = Netlink::open_in(netns.fd.get());
  if (!pod) return fail(pod.error());
  const auto link = pod->link(endpoint.ifname);
  if (!link) return fail(link.error());
  if (Status up = bring_loopback_up(*pod); !up) return up;

  if (endpoint.ipv4) {
    if (Status added = pod->add_address(link->ifindex, *endpoint.ipv4, 32); !added) return added;
  }
  if (endpoint.ipv6) {
    if (Status ready = prepare_ipv6(endpoint.ifname, netns); !ready) return ready;
    // The kernel would make its own link-local address when the device comes up, and check it for
    // duplicates for a second. One that is there already is kept.
    const Address local = link_local(endpoint.pod_mac);
    if (Status added = pod->add_address(link->ifindex, local, 64); !added) return added;
    if (Status added = pod->add_address(link->ifindex, *endpoint.ipv6, 128); !added) return added;
  }
  if (Status up = pod->set_link_up(link->ifindex); !up) return up;
  for (const RouteInfo& route : pod_routes(endpoint, link->ifindex, mtu.route)) {
    if (Status added = add_pod_route(*pod, route); !added) return added;
  }
  for (const RouteInfo& route : near_routes(endpoint, link->ifindex, mtu, node_ranges)) {
    if (Status added = add_pod_route(*pod, route); !added) return added;
  }
  return {};
}

// A kill between creation and naming leaves a device of our name and MAC without an alias.
bool is_ours(const LinkInfo& link, const EndpointKey& key) {
  if (link.alias.empty()) return link.kind == "veth" && link.mac == kGatewayMac;
  const auto parsed = parse_endpoint_alias(link.alias);
  return parsed && key_of(*parsed) == key;
}

using Problems = std::vector<std::string>;

void look_at_host_side(Netlink& host, const LocalEndpoint& endpoint, PodMtu mtu,
                       Problems& problems) {
  const std::string name = "host device " + endpoint.host_device;
  const auto link = host.link(endpoint.host_device);
  if (!link) {
    problems.push_back(name + " is missing");
    return;
  }
  if (link->ifindex != endpoint.ifindex) {
    problems.push_back(name + " has index " + std::to_string(link->ifindex) + ", expected " +
                       std::to_string(endpoint.ifindex));
  }
  if (!is_ours(*link, key_of(endpoint)))
    problems.push_back(name + " has the alias '" + link->alias + "' of somebody else");
  if (link->mac != endpoint.host_mac) {
    problems.push_back(name + " has MAC " + to_string(link->mac) + ", expected " +
                       to_string(endpoint.host_mac));
  }
  if (mtu.device != 0 && link->mtu > mtu.device) {
    problems.push_back(name + " has MTU " + std::to_string(link->mtu) + ", above " +
                       std::to_string(mtu.device));
  }
}

void look_at_addresses(Netlink& pod, const LocalEndpoint& endpoint, uint32_t ifindex,
                       Problems& problems) {
  const auto present = pod.addresses();
  if (!present) {
    problems.push_back(present.error().message());
    return;
  }
  for (const auto& [address, length] :
       {std::pair{endpoint.ipv4, 32}, std::pair{endpoint.ipv6, 128}}) {
    if (!address) continue;
    const bool found = std::ranges::any_of(*present, [&](const AddressInfo& each) {
      return each.ifindex == ifindex && each.address == *address && each.prefix_length == length;
    });
    if (!found) {
      problems.push_back("address " + to_string(*address) + "/" + std::to_string(length) +
                         " is missing on " + endpoint.ifname);
    }
  }
}

// A plugin behind us may have made the interface smaller, and with it the kernel IPv6's routes.
void look_at_routes(Netlink& pod, const LocalEndpoint& endpoint, const LinkInfo& link, PodMtu mtu,
                    Problems& problems) {
  const auto present = pod.routes();
  if (!present) {
    problems.push_back(present.error().message());
    return;
  }
  for (const RouteInfo& wanted : pod_routes(endpoint, link.ifindex, mtu.route)) {
    const auto found = std::ranges::find_if(*present, [&](const RouteInfo& each) {
      return each.ifindex == link.ifindex && each.destination == wanted.destination &&
             each.via == wanted.via;
    });
    const std::string name =
        "route " + to_string(wanted.destination) +
        (wanted.via.is_set() ? " via " + to_string(wanted.via) : std::string(" on link"));
    if (found == present->end()) {
      problems.push_back(name + " is missing on " + endpoint.ifname);
      continue;
    }
    const uint32_t in_force = found->mtu != 0 ? found->mtu : link.mtu;
    if (wanted.mtu != 0 && in_force > wanted.mtu) {
      problems.push_back(name + " has MTU " + std::to_string(in_force) + ", above " +
                         std::to_string(wanted.mtu));
    }
  }
}

void look_at_pod_side(const LocalEndpoint& endpoint, const Netns& netns, PodMtu mtu,
                      Problems& problems) {
  Result<Netlink> pod = Netlink::open_in(netns.fd.get());
  if (!pod) {
    problems.push_back(pod.error().message());
    return;
  }
  const auto link = pod->link(endpoint.ifname);
  if (!link) {
    problems.push_back("interface " + endpoint.ifname + " is missing in " + netns.path);
    return;
  }
  const std::string name = "interface " + endpoint.ifname;
  if (link->peer_ifindex != endpoint.ifindex)
    problems.push_back(name + " is not the other end of " + endpoint.host_device);
  if (!link->up) problems.push_back(name + " is down");
  if (link->mac != endpoint.pod_mac) {
    problems.push_back(name + " has MAC " + to_string(link->mac) + ", expected " +
                       to_string(endpoint.pod_mac));
  }
  if (mtu.device != 0 && link->mtu > mtu.device) {
    problems.push_back(name + " has MTU " + std::to_string(link->mtu) + ", above " +
                       std::to_string(mtu.device));
  }
  const auto loopback = pod->link("lo");
  if (!loopback || !loopback->up) problems.emplace_back("interface lo is down");
  look_at_addresses(*pod, endpoint, link->ifindex, problems);
  look_at_routes(*pod, endpoint, *link, mtu, problems);
}

Status follow_mtu(Netlink& netlink, const LinkInfo& link, PodMtu before, PodMtu now) {
  if (link.mtu == now.device || (link.mtu != before.device && link.mtu < now.device)) return {};
  return netlink.set_link_mtu(link.ifindex, now.device);
}

// The pod's table belongs to the pod, too: another plugin or a VPN may have put its own default
// route where ours was, or taken ours away. Only what is ours still is changed, nothing is made.
Status update_route_mtu(Netlink& pod, const LocalEndpoint& endpoint, uint32_t ifindex,
                        uint32_t mtu) {
  const auto present = pod.routes();
  if (!present) return fail(present.error());
  for (const RouteInfo& wanted : pod_routes(endpoint, ifindex, mtu)) {
    const auto ours = std::ranges::find_if(*present, [&](const RouteInfo& each) {
      return each.ifindex == ifindex && each.destination == wanted.destination &&
             each.via == wanted.via;
    });
    if (ours == present->end() || ours->mtu == wanted.mtu) continue;
    // The kernel replaces the first route of that destination and metric, whoever's it is.
    const auto sharers = std::ranges::count_if(*present, [&](const RouteInfo& each) {
      return each.destination == ours->destination && each.metric == ours->metric;
    });
    if (sharers != 1 || ours->multipath) continue;
    RouteInfo changed = *ours;
    changed.mtu = wanted.mtu;
    changed.onlink = wanted.onlink;
    if (Status set = pod.replace_route(changed); !set) return set;
  }
  return {};
}

}  // namespace

PodMtu mtu_of(const LocalEndpoint& endpoint, PodMtu node) {
  PodMtu mtu = node;
  // A route's own MTU counts even where the device takes less.
  if (endpoint.mtu != 0) {
    mtu = {.device = std::min(node.device, endpoint.mtu),
           .route = std::min(node.route, endpoint.mtu)};
  }
  // A smaller one would take the pod's IPv6 addresses away for good.
  if (endpoint.ipv6 && mtu.device != 0) mtu.device = std::max(mtu.device, kIpv6MtuMin);
  return mtu;
}

Result<uint32_t> create_pod_link(Netlink& host, const LocalEndpoint& endpoint, const Netns& netns,
                                 PodMtu mtu, std::span<const Prefix> node_ranges) {
  const auto alias = endpoint_alias(endpoint);
  if (!alias) {
    return fail(ErrorCode::kInvalid, "network name '" + endpoint.network + "' and container id '" +
                                         endpoint.container_id +
                                         "' together pass what a device's alias holds");
  }
  const VethEnd outer{.name = endpoint.host_device, .mac = endpoint.host_mac, .mtu = mtu.device};
  const VethEnd inner{.name = endpoint.ifname, .mac = endpoint.pod_mac, .mtu = mtu.device};
  if (Status made = host.add_veth(outer, inner, netns.fd.get(), *alias); !made)
    return fail(made.error());

  const auto link = host.link(endpoint.host_device);
  if (!link) return fail(link.error());
  Status done = configure_pod_side(endpoint, netns, mtu, node_ranges);
  if (done) return link->ifindex;
  Error error = done.error();
  if (Status undone = host.delete_link(link->ifindex); !undone)
    error.context += "; and " + undone.error().message();
  return fail(std::move(error));
}

std::vector<std::string> pod_link_problems(Netlink& host, const LocalEndpoint& endpoint,
                                           const Netns& netns, PodMtu mtu) {
  Problems problems;
  look_at_host_side(host, endpoint, mtu, problems);
  look_at_pod_side(endpoint, netns, mtu, problems);
  return problems;
}

Result<PodSide> pod_side(const LocalEndpoint& endpoint) {
  const Result<Netns> netns = open_netns(endpoint.netns);
  if (!netns) return fail(netns.error());
  Result<Netlink> pod = Netlink::open_in(netns->fd.get());
  if (!pod) return fail(pod.error());
  const auto link = pod->link(endpoint.ifname);
  if (!link) return fail(link.error());
  const auto routes = pod->routes();
  if (!routes) return fail(routes.error());
  PodSide side{.mtu = link->mtu, .default_routes = {}};
  for (const bool ipv4 : {true, false}) {
    const auto first = std::ranges::find_if(*routes, [&](const RouteInfo& each) {
      return each.ifindex == link->ifindex && each.destination == anywhere(ipv4) &&
             each.via == gateway(ipv4) && each.metric < kLaterMetric;
    });
    if (first != routes->end()) side.default_routes.push_back(*first);
  }
  return side;
}

Status remove_pod_link(Netlink& host, const LocalEndpoint& endpoint) {
  const auto link = host.link(endpoint.host_device);
  if (!link && link.error().code == ErrorCode::kNotFound) return {};
  if (!link) return fail(link.error());
  if (!is_ours(*link, key_of(endpoint))) {
    return fail(ErrorCode::kExists, "device " + endpoint.host_device + " is not of " +
                                        to_string(key_of(endpoint)) + ": its alias is '" +
                                        link->alias + "'");
  }
  Status removed = host.delete_link(link->ifindex);
  if (!removed && removed.error().code == ErrorCode::kNotFound) return {};
  return removed;
}

Status update_pod_mtu(Netlink& host, const LocalEndpoint& endpoint, PodMtu before, PodMtu now) {
  const auto outer = host.link(endpoint.ifindex);
  if (!outer) return fail(outer.error());
  if (Status set = follow_mtu(host, *outer, before, now); !set) return set;

  Result<Netns> netns = open_netns(endpoint.netns);
  if (!netns) return fail(netns.error());
  Result<Netlink> pod = Netlink::open_in(netns->fd.get());
  if (!pod) return fail(pod.error());
  const auto inner = pod->link(endpoint.ifname);
  if (!inner) return fail(inner.error());
  if (Status set = follow_mtu(*pod, *inner, before, now); !set) return set;
  return update_route_mtu(*pod, endpoint, inner->ifindex, now.route);
}

}  // namespace sluice
