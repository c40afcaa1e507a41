// SPDX-License-Identifier: Apache-2.0
// Devices by rtnetlink: read, create, change, delete.
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

#include <cerrno>

#include "lib/netlink/message.h"
#include "lib/netlink/netlink.h"

namespace sluice {

namespace {

using netlink_message::Message;

constexpr size_t kAliasBytes = 255;
constexpr uint32_t kSkipStats =
    8;  // RTEXT_FILTER_SKIP_STATS: counters are most of a link's message

std::string kind_from(const nlattr* link_info) {
  std::string kind;
  netlink_message::each_nested(link_info, [&kind](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND) {
      kind = netlink_message::text_from(attribute);
    }
  });
  return kind;
}

LinkInfo link_from(const nlmsghdr* header) {
  const auto* fixed = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(header));
  LinkInfo info;
  info.ifindex = static_cast<uint32_t>(fixed->ifi_index);
  info.up = (fixed->ifi_flags & IFF_UP) != 0;
  info.running = (fixed->ifi_flags & IFF_RUNNING) != 0;
  info.loopback = (fixed->ifi_flags & IFF_LOOPBACK) != 0;
  netlink_message::each_attribute(header, sizeof(ifinfomsg), [&info](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case IFLA_IFNAME:
        info.name = netlink_message::text_from(attribute);
        break;
      case IFLA_IFALIAS:
        info.alias = netlink_message::text_from(attribute);
        break;
      case IFLA_LINKINFO:
        info.kind = kind_from(attribute);
        break;
      case IFLA_MTU:
        info.mtu = netlink_message::u32_from(attribute);
        break;
      case IFLA_LINK:
        info.peer_ifindex = netlink_message::u32_from(attribute);
        break;
      case IFLA_ADDRESS:
        info.mac = netlink_message::mac_from(attribute);
        break;
      default:
        break;
    }
  });
  return info;
}

bool is_link(const nlmsghdr* header) {
  return header->nlmsg_type == RTM_NEWLINK &&
         mnl_nlmsg_get_payload_len(header) >= sizeof(ifinfomsg);
}

Status check_name(const std::string& name) {
  if (!name.empty() && name.size() < IFNAMSIZ) return {};
  return fail(ErrorCode::kInvalid, "device name \"" + name + "\": must have 1 to 15 characters");
}

void put_end(nlmsghdr* header, const VethEnd& end) {
  mnl_attr_put_strz(header, IFLA_IFNAME, end.name.c_str());
  mnl_attr_put(header, IFLA_ADDRESS, end.mac.bytes.size(), end.mac.bytes.data());
  if (end.mtu != 0) mnl_attr_put_u32(header, IFLA_MTU, end.mtu);
}

void put_veth(nlmsghdr* header, const VethEnd& pod, int pod_netns_fd) {
  nlattr* info = mnl_attr_nest_start(header, IFLA_LINKINFO);
  mnl_attr_put_strz(header, IFLA_INFO_KIND, "veth");
  nlattr* data = mnl_attr_nest_start(header, IFLA_INFO_DATA);
  nlattr* peer = mnl_attr_nest_start(header, VETH_INFO_PEER);
  mnl_nlmsg_put_extra_header(header, sizeof(ifinfomsg));
  put_end(header, pod);
  mnl_attr_put_u32(header, IFLA_NET_NS_FD, static_cast<uint32_t>(pod_netns_fd));
  mnl_attr_nest_end(header, peer);
  mnl_attr_nest_end(header, data);
  mnl_attr_nest_end(header, info);
}

std::string device(uint32_t ifindex) {
  return "device " + std::to_string(ifindex);
}

}  // namespace

Result<std::vector<LinkInfo>> Netlink::links() {
  Message message(RTM_GETLINK, NLM_F_DUMP);
  message.put<ifinfomsg>();
  mnl_attr_put_u32(message.header(), IFLA_EXT_MASK, kSkipStats);
  std::vector<LinkInfo> found;
  auto done = dump(message.header(), "list devices", [&found](const nlmsghdr* header) {
    if (is_link(header)) found.push_back(link_from(header));
  });
  if (!done) return fail(done.error());
  return found;
}

Result<LinkInfo> Netlink::link(const std::string& name) {
  if (auto valid = check_name(name); !valid) return fail(valid.error());
  Message message(RTM_GETLINK, 0);
  message.put<ifinfomsg>();
  mnl_attr_put_strz(message.header(), IFLA_IFNAME, name.c_str());
  mnl_attr_put_u32(message.header(), IFLA_EXT_MASK, kSkipStats);
  LinkInfo info;
  auto done = dump(message.header(), "look up device " + name, [&info](const nlmsghdr* header) {
    if (is_link(header)) info = link_from(header);
  });
  if (!done) return fail(done.error());
  return info;
}

Result<LinkInfo> Netlink::link(uint32_t ifindex) {
  const std::string what = "look up " + device(ifindex);
  if (ifindex == 0) return fail(from_errno(what, ENODEV));
  Message message(RTM_GETLINK, 0);
  message.put<ifinfomsg>()->ifi_index = static_cast<int>(ifindex);
  mnl_attr_put_u32(message.header(), IFLA_EXT_MASK, kSkipStats);
  LinkInfo info;
  auto done = dump(message.header(), what, [&info](const nlmsghdr* header) {
    if (is_link(header)) info = link_from(header);
  });
  if (!done) return fail(done.error());
  return info;
}

Status Netlink::add_veth(const VethEnd& host, const VethEnd& pod, int pod_netns_fd,
                         const std::string& alias) {
  if (auto valid = check_name(host.name); !valid) return valid;
  if (auto valid = check_name(pod.name); !valid) return valid;
  const std::string what = "create veth " + host.name + " with peer " + pod.name;
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.put<ifinfomsg>();
  put_end(message.header(), host);
  put_veth(message.header(), pod, pod_netns_fd);
  if (auto made = request(message.header(), what); !made) return made;
  // The kernel takes no alias at creation. A device that cannot be recognised as ours must not
  // stay.
  auto made = link(host.name);
  if (!made) return fail(within(what, made.error()));
  if (auto named = set_link_alias(made->ifindex, alias); !named) {
    (void)delete_link(made->ifindex);
    return fail(within(what, named.error()));
  }
  return {};
}

Status Netlink::add_vxlan(const VxlanSpec& spec) {
  if (auto valid = check_name(spec.name); !valid) return valid;
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  auto* fixed = message.put<ifinfomsg>();
  // Nobody answers neighbour requests in there: without them the kernel writes the device's own MAC
  // as the destination, and that is the MAC of the device at the other end.
  fixed->ifi_flags = IFF_NOARP;
  fixed->ifi_change = IFF_NOARP;
  nlmsghdr* header = message.header();
  put_end(header, VethEnd{.name = spec.name, .mac = spec.mac, .mtu = spec.mtu});
  nlattr* info = mnl_attr_nest_start(header, IFLA_LINKINFO);
  mnl_attr_put_strz(header, IFLA_INFO_KIND, "vxlan");
  nlattr* data = mnl_attr_nest_start(header, IFLA_INFO_DATA);
  mnl_attr_put_u8(header, IFLA_VXLAN_COLLECT_METADATA, 1);
  mnl_attr_put_u8(header, IFLA_VXLAN_LEARNING, 0);
  mnl_attr_put_u16(header, IFLA_VXLAN_PORT, htons(spec.udp_port));
  // The outer checksum is optional for tunnels over IPv6 too (RFC 6935): the inner one protects the
  // payload.
  mnl_attr_put_u8(header, IFLA_VXLAN_UDP_ZERO_CSUM6_RX, 1);
  mnl_attr_nest_end(header, data);
  mnl_attr_nest_end(header, info);
  return request(header, "create vxlan device " + spec.name);
}

Status Netlink::set_link_up(uint32_t ifindex) {
  Message message(RTM_SETLINK, 0);
  auto* fixed = message.put<ifinfomsg>();
  fixed->ifi_index = static_cast<int>(ifindex);
  fixed->ifi_flags = IFF_UP;
  fixed->ifi_change = IFF_UP;
  return request(message.header(), "set up " + device(ifindex));
}

Status Netlink::set_link_mtu(uint32_t ifindex, uint32_t mtu) {
  Message message(RTM_SETLINK, 0);
  message.put<ifinfomsg>()->ifi_index = static_cast<int>(ifindex);
  mnl_attr_put_u32(message.header(), IFLA_MTU, mtu);
  return request(message.header(), "set mtu " + std::to_string(mtu) + " of " + device(ifindex));
}

Status Netlink::set_link_alias(uint32_t ifindex, const std::string& alias) {
  if (alias.size() > kAliasBytes) {
    return fail(ErrorCode::kInvalid, "alias \"" + alias + "\": longer than 255 bytes");
  }
  Message message(RTM_SETLINK, 0);
  message.put<ifinfomsg>()->ifi_index = static_cast<int>(ifindex);
  mnl_attr_put(message.header(), IFLA_IFALIAS, alias.size(), alias.data());
  return request(message.header(), "set alias \"" + alias + "\" of " + device(ifindex));
}

Status Netlink::delete_link(uint32_t ifindex) {
  Message message(RTM_DELLINK, 0);
  message.put<ifinfomsg>()->ifi_index = static_cast<int>(ifindex);
  return request(message.header(), "delete " + device(ifindex));
}

}  // namespace sluice
