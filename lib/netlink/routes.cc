// SPDX-License-Identifier: Apache-2.0
// Unicast routes of the main table by rtnetlink.
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include <cerrno>

#include "lib/netlink/message.h"
#include "lib/netlink/netlink.h"

namespace sluice {

namespace {

using netlink_message::Message;

// RTA_VIA, a next hop of the other family: family(2) address.
Address via_from(const nlattr* attribute) {
  const auto* bytes = static_cast<const uint8_t*>(mnl_attr_get_payload(attribute));
  const size_t size = mnl_attr_get_payload_len(attribute);
  if (size <= sizeof(uint16_t)) return {};
  return netlink_message::address_from(bytes + sizeof(uint16_t), size - sizeof(uint16_t));
}

uint32_t mtu_from(const nlattr* metrics) {
  uint32_t mtu = 0;
  netlink_message::each_nested(metrics, [&mtu](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == RTAX_MTU) mtu = netlink_message::u32_from(attribute);
  });
  return mtu;
}

// Of a route with several next hops the first one stands for all.
void take_first_hop(const nlattr* multipath, RouteInfo& info) {
  if (mnl_attr_get_payload_len(multipath) < sizeof(rtnexthop)) return;
  const auto* hop = static_cast<const rtnexthop*>(mnl_attr_get_payload(multipath));
  if (hop->rtnh_len > mnl_attr_get_payload_len(multipath)) return;
  info.ifindex = static_cast<uint32_t>(hop->rtnh_ifindex);
  info.onlink = (hop->rtnh_flags & RTNH_F_ONLINK) != 0;
  const auto take = [&info](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == RTA_GATEWAY) {
      info.via = netlink_message::address_from(attribute);
    } else if (mnl_attr_get_type(attribute) == RTA_VIA) {
      info.via = via_from(attribute);
    }
  };
  if (hop->rtnh_len <= sizeof(rtnexthop)) return;
  netlink_message::each_attribute(static_cast<const void*>(hop + 1),
                                  hop->rtnh_len - sizeof(rtnexthop), take);
}

void take_attribute(const nlattr* attribute, RouteInfo& info) {
  switch (mnl_attr_get_type(attribute)) {
    case RTA_DST:
      info.destination.address = netlink_message::address_from(attribute);
      break;
    case RTA_OIF:
      info.ifindex = netlink_message::u32_from(attribute);
      break;
    case RTA_GATEWAY:
      info.via = netlink_message::address_from(attribute);
      break;
    case RTA_VIA:
      info.via = via_from(attribute);
      break;
    case RTA_PREFSRC:
      info.source = netlink_message::address_from(attribute);
      break;
    case RTA_PRIORITY:
      info.metric = netlink_message::u32_from(attribute);
      break;
    case RTA_TABLE:
      info.table = netlink_message::u32_from(attribute);
      break;
    case RTA_METRICS:
      info.mtu = mtu_from(attribute);
      break;
    case RTA_MULTIPATH:
      info.multipath = true;
      take_first_hop(attribute, info);
      break;
    default:
      break;
  }
}

RouteInfo route_from(const nlmsghdr* header) {
  const auto* fixed = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(header));
  RouteInfo info;
  info.table = fixed->rtm_table;
  info.protocol = fixed->rtm_protocol;
  info.onlink = (fixed->rtm_flags & RTNH_F_ONLINK) != 0;
  const bool ipv4 = fixed->rtm_family == AF_INET;
  if (ipv4) info.destination.address = netlink_message::address_from("\0\0\0\0", 4);
  info.destination.length =
      static_cast<uint8_t>(fixed->rtm_dst_len + (ipv4 ? IPV4_MAPPED_BITS : 0));
  netlink_message::each_attribute(
      header, sizeof(rtmsg), [&info](const nlattr* attribute) { take_attribute(attribute, info); });
  return info;
}

bool is_wanted(const nlmsghdr* header, uint8_t family) {
  if (header->nlmsg_type != RTM_NEWROUTE) return false;
  if (mnl_nlmsg_get_payload_len(header) < sizeof(rtmsg)) return false;
  const auto* fixed = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(header));
  // Cached and cloned entries are the kernel's notes about routes, not routes.
  if (fixed->rtm_type != RTN_UNICAST || (fixed->rtm_flags & RTM_F_CLONED) != 0) return false;
  return fixed->rtm_family == family;
}

void put_via(nlmsghdr* header, const RouteInfo& route) {
  if (!route.via.is_set()) return;
  if (route.via.is_ipv4() == route.destination.is_ipv4()) {
    netlink_message::put_address(header, RTA_GATEWAY, route.via);
    return;
  }
  std::array<uint8_t, sizeof(uint16_t) + 16> payload{};
  const uint16_t family = netlink_message::family_of(route.via);
  const size_t skip = route.via.is_ipv4() ? 12 : 0;
  std::memcpy(payload.data(), &family, sizeof(family));
  std::memcpy(payload.data() + sizeof(family), route.via.bytes.data() + skip, 16 - skip);
  mnl_attr_put(header, RTA_VIA, sizeof(family) + 16 - skip, payload.data());
}

// What identifies the route and where it leads; for a deletion `scope` is RT_SCOPE_NOWHERE, any.
void put_route(Message& message, const RouteInfo& route, uint8_t scope) {
  auto* fixed = message.put<rtmsg>();
  const bool ipv4 = route.destination.is_ipv4();
  fixed->rtm_family = ipv4 ? AF_INET : AF_INET6;
  fixed->rtm_dst_len = route.destination.family_length();
  fixed->rtm_protocol = route.protocol;
  fixed->rtm_scope = scope;
  fixed->rtm_type = RTN_UNICAST;
  if (route.onlink) fixed->rtm_flags |= RTNH_F_ONLINK;
  nlmsghdr* header = message.header();
  mnl_attr_put_u32(header, RTA_TABLE, route.table);
  if (fixed->rtm_dst_len != 0) {
    netlink_message::put_address(header, RTA_DST, route.destination.address);
  }
  if (route.ifindex != 0) mnl_attr_put_u32(header, RTA_OIF, route.ifindex);
  if (route.metric != 0) mnl_attr_put_u32(header, RTA_PRIORITY, route.metric);
  put_via(header, route);
}

void put_new_route(Message& message, const RouteInfo& route) {
  put_route(message, route, route.via.is_set() ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK);
  nlmsghdr* header = message.header();
  if (route.source.is_set()) netlink_message::put_address(header, RTA_PREFSRC, route.source);
  if (route.mtu == 0) return;
  nlattr* metrics = mnl_attr_nest_start(header, RTA_METRICS);
  mnl_attr_put_u32(header, RTAX_MTU, route.mtu);
  mnl_attr_nest_end(header, metrics);
}

std::string describe(const RouteInfo& route) {
  std::string text = "route " + to_string(route.destination);
  if (route.via.is_set()) text += " via " + to_string(route.via);
  return text + " on device " + std::to_string(route.ifindex);
}

}  // namespace

Result<std::vector<RouteInfo>> Netlink::routes(uint8_t protocol) {
  std::vector<RouteInfo> found;
  for (const auto family : {uint8_t{AF_INET}, uint8_t{AF_INET6}}) {
    Message message(RTM_GETROUTE, NLM_F_DUMP);
    auto* fixed = message.put<rtmsg>();
    fixed->rtm_family = family;
    fixed->rtm_protocol = protocol;
    mnl_attr_put_u32(message.header(), RTA_TABLE, RT_TABLE_MAIN);
    auto done = dump(message.header(), "list routes", [&](const nlmsghdr* header) {
      if (!is_wanted(header, family)) return;
      RouteInfo info = route_from(header);
      if (info.table != RT_TABLE_MAIN) return;
      if (protocol != 0 && info.protocol != protocol) return;
      found.push_back(std::move(info));
    });
    // A namespace makes the table with its first route; a kernel may be without the family.
    if (!done && done.error().sys_errno != ENOENT && done.error().sys_errno != EAFNOSUPPORT) {
      return fail(done.error());
    }
  }
  return found;
}

Status Netlink::add_route(const RouteInfo& route) {
  Message message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  put_new_route(message, route);
  return request(message.header(), "add " + describe(route));
}

Status Netlink::replace_route(const RouteInfo& route) {
  Message message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
  put_new_route(message, route);
  return request(message.header(), "set " + describe(route));
}

Status Netlink::delete_route(const RouteInfo& route) {
  Message message(RTM_DELROUTE, 0);
  put_route(message, route, RT_SCOPE_NOWHERE);
  return request(message.header(), "delete " + describe(route));
}

}  // namespace sluice
