// SPDX-License-Identifier: Apache-2.0
// Inside apply: routes and neighbours of ours in the node's stack.
#include <set>

#include "agent/apply/host.h"

namespace sluice {

namespace {

RouteInfo info_of(const RouteRow& row) {
  RouteInfo info;
  info.destination = row.destination;
  info.ifindex = row.ifindex;
  info.via = row.via;
  info.source = row.source;
  info.mtu = row.mtu;
  info.protocol = kRouteProtocol;
  // Compile has decided that the next hop is a neighbour on that device; no other route has to
  // agree.
  info.onlink = row.via.is_set();
  return info;
}

RouteRow row_of(const RouteInfo& info) {
  return RouteRow{.destination = info.destination,
                  .ifindex = info.ifindex,
                  .via = info.via,
                  .source = info.source,
                  .mtu = info.mtu};
}

NeighbourRow row_of(const NeighbourInfo& info) {
  return NeighbourRow{.ifindex = info.ifindex, .address = info.address, .mac = info.mac};
}

NeighbourInfo info_of(const NeighbourRow& row) {
  return NeighbourInfo{.ifindex = row.ifindex,
                       .address = row.address,
                       .mac = row.mac,
                       .permanent = true,
                       .protocol = kRouteProtocol};
}

std::string text(const RouteRow& row) {
  return "route " + to_string(row.destination);
}
std::string text(const NeighbourRow& row) {
  return "neighbour " + to_string(row.address);
}

// Went by itself, with its device for one.
bool is_gone(const Status& status) {
  return status || status.error().code == ErrorCode::kNotFound;
}

Result<std::vector<NeighbourInfo>> our_neighbours(Netlink& netlink) {
  auto all = netlink.neighbours();
  if (!all) return all;
  std::erase_if(*all, [](const NeighbourInfo& n) { return n.protocol != kRouteProtocol; });
  return all;
}

}  // namespace

std::vector<RouteRow> lost_routes(const Rows& rows, const std::vector<RouteInfo>& found) {
  std::set<std::pair<Prefix, uint32_t>> have;
  for (const RouteInfo& route : found) {
    if (route.protocol == kRouteProtocol) have.emplace(route.destination, route.ifindex);
  }
  std::vector<RouteRow> lost;
  for (const RouteRow& row : rows.routes) {
    if (!have.contains({row.destination, row.ifindex})) lost.push_back(row);
  }
  return lost;
}

void HostRoutes::write_routes(const std::vector<RouteRow>& wanted, ApplyReport& report) {
  std::set<RouteRow> have;
  std::set<Prefix> destinations;
  for (const RouteInfo& route : routes_) {
    have.insert(row_of(route));
    destinations.insert(route.destination);
  }
  std::set<Prefix> replaced;
  for (const RouteRow& row : wanted) {
    if (have.contains(row)) continue;
    // A replacement would also take a stranger's route of that destination: only ours is replaced.
    const bool ours = destinations.contains(row.destination);
    const auto set = ours ? netlink_.replace_route(info_of(row)) : netlink_.add_route(info_of(row));
    if (set) report.written++;
    if (set && ours) replaced.insert(row.destination);
    record(report, text(row), row.ifindex, set);
  }
  std::erase_if(routes_, [&](const RouteInfo& r) { return replaced.contains(r.destination); });
}

void HostRoutes::write_neighbours(const std::vector<NeighbourRow>& wanted, ApplyReport& report) {
  using Key = std::pair<uint32_t, Address>;
  std::set<NeighbourRow> have;
  for (const NeighbourInfo& neighbour : neighbours_) {
    if (neighbour.permanent) have.insert(row_of(neighbour));
  }
  std::set<Key> replaced;
  for (const NeighbourRow& row : wanted) {
    if (have.contains(row)) continue;
    auto set = netlink_.replace_neighbour(info_of(row));
    if (set) report.written++;
    if (set) replaced.insert({row.ifindex, row.address});
    record(report, text(row), row.ifindex, set);
  }
  std::erase_if(neighbours_, [&](const NeighbourInfo& each) {
    return replaced.contains({each.ifindex, each.address});
  });
}

void HostRoutes::write(const Rows& rows, ApplyReport& report) {
  routes_.clear();
  neighbours_.clear();
  if (auto ours = our_neighbours(netlink_)) {
    neighbours_ = std::move(*ours);
    write_neighbours(rows.neighbours, report);
  } else {
    record(report, "neighbours", 0, ours.error());
  }
  if (auto ours = netlink_.routes(kRouteProtocol)) {
    routes_ = std::move(*ours);
    write_routes(rows.routes, report);
  } else {
    record(report, "routes", 0, ours.error());
  }
}

void HostRoutes::remove_unwanted(const Rows& rows, ApplyReport& report) {
  const std::set<RouteRow> wanted(rows.routes.begin(), rows.routes.end());
  for (const RouteInfo& route : routes_) {
    const RouteRow row = row_of(route);
    if (wanted.contains(row)) continue;
    const auto gone = netlink_.delete_route(route);
    if (gone) report.deleted++;
    if (!is_gone(gone)) record(report, text(row), row.ifindex, gone);
  }
  const std::set<NeighbourRow> known(rows.neighbours.begin(), rows.neighbours.end());
  for (const NeighbourInfo& neighbour : neighbours_) {
    const NeighbourRow row = row_of(neighbour);
    if (known.contains(row)) continue;
    const auto gone = netlink_.delete_neighbour(neighbour);
    if (gone) report.deleted++;
    if (!is_gone(gone)) record(report, text(row), row.ifindex, gone);
  }
}

}  // namespace sluice
