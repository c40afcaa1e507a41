// SPDX-License-Identifier: Apache-2.0
#include "agent/apply/inspect.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "agent/apply/attach.h"
#include "lib/fd/fd.h"
#include "lib/netlink/netlink.h"

namespace sluice {

namespace {

constexpr size_t kProgramsPerHookMax = 64;

std::string program_name(uint32_t id) {
  const Fd fd(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  uint32_t size = sizeof(info);
  if (!fd.valid() || bpf_prog_get_info_by_fd(fd.get(), &info, &size) != 0) return {};
  return info.name;
}

bool attached_by_tcx(uint32_t ifindex, bpf_attach_type hook, std::string_view program) {
  std::array<uint32_t, kProgramsPerHookMax> ids{};
  struct bpf_prog_query_opts query = {};
  query.sz = sizeof(query);
  query.prog_ids = ids.data();
  query.prog_cnt = ids.size();
  if (bpf_prog_query_opts(static_cast<int>(ifindex), hook, &query) != 0) return false;
  return std::any_of(ids.begin(), ids.begin() + query.prog_cnt,
                     [&](uint32_t id) { return program_name(id) == program; });
}

bool attached_by_clsact(uint32_t ifindex, bpf_tc_attach_point point, std::string_view program) {
  bpf_tc_hook hook = {};
  hook.sz = sizeof(hook);
  hook.ifindex = static_cast<int>(ifindex);
  hook.attach_point = point;
  bpf_tc_opts filter = {};
  filter.sz = sizeof(filter);
  filter.handle = kFilterHandle;
  filter.priority = kFilterPriority;
  return bpf_tc_query(&hook, &filter) == 0 && program_name(filter.prog_id) == program;
}

struct Side {
  bpf_attach_type tcx;
  bpf_tc_attach_point clsact;
  const char* name;
};

constexpr Side kIngressSide{.tcx = BPF_TCX_INGRESS, .clsact = BPF_TC_INGRESS, .name = "ingress"};
constexpr Side kEgressSide{.tcx = BPF_TCX_EGRESS, .clsact = BPF_TC_EGRESS, .name = "egress"};

void check_program(uint32_t ifindex, const std::string& device, const Side& side,
                   const std::string& program, std::vector<std::string>& problems) {
  if (attached_by_tcx(ifindex, side.tcx, program) ||
      attached_by_clsact(ifindex, side.clsact, program))
    return;
  problems.push_back("program " + program + " is not attached at the " + side.name + " of " +
                     device);
}

void check_programs(const LocalEndpoint& endpoint, std::vector<std::string>& problems) {
  check_program(endpoint.ifindex, endpoint.host_device, kIngressSide, "pod_egress", problems);
  check_program(endpoint.ifindex, endpoint.host_device, kEgressSide, "pod_ingress", problems);
}

void check_host_routes(Netlink& host, const LocalEndpoint& endpoint,
                       std::vector<std::string>& problems) {
  const auto routes = host.routes();
  if (!routes) return problems.push_back(routes.error().message());
  for (const auto& address : {endpoint.ipv4, endpoint.ipv6}) {
    if (!address) continue;
    const bool found = std::any_of(routes->begin(), routes->end(), [&](const RouteInfo& route) {
      return route.ifindex == endpoint.ifindex && route.destination == host_prefix(*address);
    });
    if (found) continue;
    problems.push_back("the host has no route to " + to_string(*address) + " by " +
                       endpoint.host_device);
  }
}

void check_device_is_up(const LocalEndpoint& endpoint, std::vector<std::string>& problems) {
  auto netlink = Netlink::open();
  if (!netlink) return problems.push_back(netlink.error().message());
  const auto link = netlink->link(endpoint.ifindex);
  // One that is missing is told of by who made it.
  if (link && !link->up) problems.push_back("host device " + endpoint.host_device + " is down");
}

void check_identity(const TableRows<identity_key, identity_row>& rows,
                    const LocalEndpoint& endpoint, const Address& address,
                    std::vector<std::string>& problems) {
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const auto& candidate) {
    return candidate.first.prefix_bits == 128 &&
           std::memcmp(candidate.first.addr, address.bytes.data(), address.bytes.size()) == 0;
  });
  if (row == rows.end()) {
    problems.push_back("map sl_identity has no row for " + to_string(address));
  } else if (row->second.ifindex != endpoint.ifindex || !(row->second.flags & ADDRESS_LOCAL_POD)) {
    problems.push_back("map sl_identity sends " + to_string(address) + " to device " +
                       std::to_string(row->second.ifindex) + ", not to " +
                       std::to_string(endpoint.ifindex));
  }
}

void check_endpoint_row(const DatapathReader& reader, const LocalEndpoint& endpoint,
                        std::vector<std::string>& problems) {
  const auto rows = reader.endpoints();
  if (!rows) {
    problems.push_back("map sl_endpoint cannot be read: " + rows.error().message());
    return;
  }
  const auto row = std::find_if(rows->begin(), rows->end(), [&](const auto& candidate) {
    return candidate.first == endpoint.ifindex;
  });
  if (row == rows->end()) {
    problems.push_back("map sl_endpoint has no row for " + endpoint.host_device);
    return;
  }
  const auto same = [](const ip_addr& has, const std::optional<Address>& wants) {
    return from_abi(has) == wants.value_or(Address{});
  };
  if (!same(row->second.ipv4, endpoint.ipv4) || !same(row->second.ipv6, endpoint.ipv6)) {
    problems.push_back("map sl_endpoint has other addresses for " + endpoint.host_device);
  }
}

}  // namespace

std::vector<std::string> datapath_problems(const DatapathReader& reader,
                                           const LocalEndpoint& endpoint) {
  std::vector<std::string> problems;
  check_device_is_up(endpoint, problems);
  check_programs(endpoint, problems);
  check_endpoint_row(reader, endpoint, problems);
  const auto identities = reader.identities();
  if (!identities) {
    problems.push_back("map sl_identity cannot be read: " + identities.error().message());
    return problems;
  }
  for (const auto& address : {endpoint.ipv4, endpoint.ipv6}) {
    if (address) check_identity(*identities, endpoint, *address, problems);
  }
  return problems;
}

std::vector<std::string> node_problems(const LocalEndpoint& endpoint,
                                       const std::vector<uint32_t>& devices) {
  std::vector<std::string> problems;
  Result<Netlink> host = Netlink::open();
  if (!host) return {host.error().message()};
  check_host_routes(*host, endpoint, problems);
  for (const uint32_t ifindex : devices) {
    const auto link = host->link(ifindex);
    if (!link) {
      problems.push_back(link.error().message());
      continue;
    }
    check_program(ifindex, link->name, kIngressSide, "uplink_ingress", problems);
    check_program(ifindex, link->name, kEgressSide, "uplink_egress", problems);
  }
  return problems;
}

}  // namespace sluice
