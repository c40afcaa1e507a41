// SPDX-License-Identifier: Apache-2.0
// ADD: check, allocate, make the link, remember, publish; the answer waits for the kernel's rows
// and for the state file, which come at the same time. What fails is undone.
#include <algorithm>

#include "agent/pods/pod_reply.h"
#include "agent/pods/pod_service.h"
#include "lib/boot/boot.h"

namespace sluice {

using cni::v1::CniRequest;
using cni::v1::CniResponse;

namespace {

std::string pod_of(const LocalEndpoint& endpoint) {
  return endpoint.pod_name.empty()
             ? std::string()
             : " (pod " + endpoint.pod_namespace + "/" + endpoint.pod_name + ")";
}

LocalEndpoint endpoint_of(const CniRequest& request, int64_t now_ms) {
  const EndpointKey key = key_of(request);
  LocalEndpoint endpoint;
  endpoint.network = key.network;
  endpoint.container_id = key.container_id;
  endpoint.ifname = key.ifname;
  endpoint.netns = request.netns();
  endpoint.pod_namespace = argument(request, "K8S_POD_NAMESPACE");
  endpoint.pod_name = argument(request, "K8S_POD_NAME");
  endpoint.pod_uid = argument(request, "K8S_POD_UID");
  endpoint.host_device = host_device_name(key);
  endpoint.pod_mac = pod_mac(key);
  endpoint.host_mac = kGatewayMac;
  endpoint.mtu = request.mtu();
  endpoint.created_unix_ms = now_ms;
  endpoint.created_boot_ms = since_boot_ms();
  return endpoint;
}

}  // namespace

void PodService::add(const CniRequest& request, Reply reply) {
  ++counters_.adds;
  if (Refusal refused = check_add(request)) return reply(std::move(*refused));
  const Result<Netns> netns = open_netns(request.netns());
  if (!netns)
    return reply(
        refusal(cni::v1::CNI_INVALID_ENVIRONMENT, "CNI_NETNS: " + netns.error().message()));

  const EndpointKey key = key_of(request);
  bool reuse = false;
  if (Refusal refused = reuse_or_remove(key, *netns, reuse)) return reply(std::move(*refused));
  if (!reuse) {
    if (Refusal refused = add_new(request, *netns)) return reply(std::move(*refused));
    unanswered_.insert(key);
  }
  wait_for_rows(key, std::move(reply));
}

PodService::Refusal PodService::check_add(const CniRequest& request) const {
  if (request.netns().empty())
    return refusal(cni::v1::CNI_INVALID_ENVIRONMENT, "CNI_NETNS: not set, ADD needs it");
  if (const auto why = hooks_.not_ready ? hooks_.not_ready() : std::nullopt) {
    return refusal(cni::v1::CNI_TRY_AGAIN_LATER,
                   "sluice-agent is not ready: " + *why + "; it is tried again");
  }
  if (mtu_.device == 0) {
    return refusal(cni::v1::CNI_TRY_AGAIN_LATER,
                   "sluice-agent is not ready: it has not found the uplink's MTU yet");
  }
  const std::string uid = argument(request, "K8S_POD_UID");
  const std::string pod_namespace = argument(request, "K8S_POD_NAMESPACE");
  const std::string pod_name = argument(request, "K8S_POD_NAME");
  if (uid.empty() || pod_name.empty() || !hooks_.pod_uids) return std::nullopt;
  const std::vector<std::string> known = hooks_.pod_uids(pod_namespace, pod_name);
  if (known.empty() || std::ranges::find(known, uid) != known.end()) return std::nullopt;
  return refusal(cni::v1::CNI_TRY_AGAIN_LATER,
                 "K8S_POD_UID: pod " + pod_namespace + "/" + pod_name + " has uid " +
                     known.front() + ", the request is for " + uid +
                     ": the pod was made anew, or its new state has not come yet");
}

PodService::Refusal PodService::reuse_or_remove(const EndpointKey& key, const Netns& netns,
                                                bool& reuse) {
  const LocalEndpoint* existing = table_.find(key);
  if (existing == nullptr) return std::nullopt;
  // The path may have changed though the namespace did not; the device in it tells.
  if (pod_link_problems(*host_, *existing, netns, mtu_of(*existing, mtu_)).empty()) {
    reuse = true;
    if (existing->netns == netns.path) return std::nullopt;
    LocalEndpoint moved = *existing;
    moved.netns = netns.path;
    table_.insert(moved);
    save();
    return std::nullopt;
  }
  if (Status removed = remove_endpoint(key, "another ADD came for it"); !removed) {
    return refusal(cni::v1::CNI_KERNEL_REFUSED,
                   "remove what an earlier ADD of " + to_string(key) + " left",
                   removed.error().message());
  }
  publish();
  return std::nullopt;
}

PodService::Refusal PodService::check_names_are_free(const EndpointKey& key, const Netns& netns) {
  Result<Netlink> pod = Netlink::open_in(netns.fd.get());
  if (!pod) return refusal(cni::v1::CNI_KERNEL_REFUSED, pod.error().message());
  const auto inside = pod->link(key.ifname);
  if (!inside && inside.error().code != ErrorCode::kNotFound) {
    return refusal(cni::v1::CNI_KERNEL_REFUSED, inside.error().message());
  }
  if (inside) {
    std::string owner = "a container that is not of Sluice";
    for (const auto& [other, endpoint] : table_.all()) {
      if (endpoint.ifindex == inside->peer_ifindex && endpoint.pod_mac == inside->mac) {
        owner = "container " + other.container_id + pod_of(endpoint);
      }
    }
    return refusal(cni::v1::CNI_INTERFACE_EXISTS,
                   "CNI_NETNS: " + netns.path + " has an interface " + key.ifname +
                       " already, of " + owner + "; the request is for container " +
                       key.container_id);
  }
  // A device of this very attachment that the table does not know is what a crash left.
  LocalEndpoint left;
  left.network = key.network;
  left.container_id = key.container_id;
  left.ifname = key.ifname;
  left.host_device = host_device_name(key);
  if (Status removed = remove_pod_link(*host_, left); !removed) {
    return refusal(cni::v1::CNI_INTERFACE_EXISTS, removed.error().message());
  }
  return std::nullopt;
}

PodService::Refusal PodService::allocate_addresses(LocalEndpoint& endpoint) {
  IpPools& pools = table_.pools();
  if (!pools.has_range(true) && !pools.has_range(false)) {
    return refusal(
        cni::v1::CNI_TRY_AGAIN_LATER,
        "node " + settings_.node_name + " has no pod CIDR yet; see spec.podCIDRs of the Node");
  }
  for (const auto& [ipv4, target] :
       {std::pair{true, &endpoint.ipv4}, std::pair{false, &endpoint.ipv6}}) {
    if (!pools.has_range(ipv4) || (!ipv4 && !ipv6_fits(mtu_))) continue;
    const Result<Address> address = pools.allocate(ipv4, rest_now_ms());
    if (!address) {
      if (endpoint.ipv4) pools.give_back(*endpoint.ipv4);
      return refusal(cni::v1::CNI_ADDRESSES_EXHAUSTED,
                     "node " + settings_.node_name + ": " + address.error().message());
    }
    *target = *address;
  }
  if (endpoint.ipv4 || endpoint.ipv6) return std::nullopt;
  return refusal(cni::v1::CNI_TRY_AGAIN_LATER,
                 "node " + settings_.node_name + " has pod CIDRs of IPv6 alone and an MTU of " +
                     std::to_string(mtu_.route) + ", IPv6 needs " + std::to_string(kIpv6MtuMin) +
                     ": raise the uplink's");
}

PodService::Refusal PodService::make_link(LocalEndpoint& endpoint, const Netns& netns) {
  const PodMtu mtu = mtu_of(endpoint, mtu_);
  const Result<uint32_t> ifindex = create_pod_link(*host_, endpoint, netns, mtu, ranges_);
  if (!ifindex) {
    const auto code = ifindex.error().code == ErrorCode::kExists ? cni::v1::CNI_INTERFACE_EXISTS
                                                                 : cni::v1::CNI_KERNEL_REFUSED;
    return refusal(
        code, "make the link of " + to_string(key_of(endpoint)) + ": " + ifindex.error().message());
  }
  endpoint.ifindex = *ifindex;
  table_.insert(endpoint);
  save();
  return std::nullopt;
}

PodService::Refusal PodService::add_new(const CniRequest& request, const Netns& netns) {
  if (Refusal refused = check_names_are_free(key_of(request), netns)) return refused;
  LocalEndpoint endpoint = endpoint_of(request, now_ms());
  if (Refusal refused = allocate_addresses(endpoint)) return refused;
  Refusal refused = make_link(endpoint, netns);
  if (!refused) return std::nullopt;
  // No row named them and no packet carried them.
  for (const auto& address : {endpoint.ipv4, endpoint.ipv6}) {
    if (address) table_.pools().give_back(*address);
  }
  return refused;
}

CniResponse PodService::result_of(const LocalEndpoint& endpoint) {
  CniResponse response;
  const auto device = host_->link(endpoint.ifindex);
  const auto side = pod_side(endpoint);
  auto* host = response.add_interfaces();
  host->set_name(endpoint.host_device);
  host->set_mac(to_string(endpoint.host_mac));
  host->set_mtu(device ? device->mtu : mtu_.device);
  auto* pod = response.add_interfaces();
  pod->set_name(endpoint.ifname);
  pod->set_mac(to_string(endpoint.pod_mac));
  pod->set_sandbox(endpoint.netns);
  pod->set_mtu(side ? side->mtu : mtu_of(endpoint, mtu_).device);

  const auto add_address = [&](const Address& address, std::string_view gateway,
                               const char* length) {
    auto* ip = response.add_ips();
    ip->set_address(to_string(address) + length);
    ip->set_gateway(std::string(gateway));
    ip->set_interface_index(1);
  };
  if (endpoint.ipv4) add_address(*endpoint.ipv4, kGatewayIpv4, "/32");
  if (endpoint.ipv6) add_address(*endpoint.ipv6, kGatewayIpv6, "/128");
  if (!side) return response;
  for (const RouteInfo& each : side->default_routes) {
    auto* route = response.add_routes();
    route->set_destination(each.destination.is_ipv4() ? "0.0.0.0/0" : "::/0");
    route->set_gateway(to_string(each.via));
    route->set_mtu(each.mtu);
  }
  return response;
}

}  // namespace sluice
