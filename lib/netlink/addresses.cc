// SPDX-License-Identifier: Apache-2.0
// Addresses and neighbours of devices by rtnetlink.
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "lib/netlink/message.h"
#include "lib/netlink/netlink.h"

namespace sluice {

namespace {

using netlink_message::Message;

AddressInfo address_info_from(const nlmsghdr* header) {
  const auto* fixed = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(header));
  AddressInfo info;
  info.ifindex = fixed->ifa_index;
  info.prefix_length = fixed->ifa_prefixlen;
  info.scope = fixed->ifa_scope;
  Address peer;
  uint32_t flags = fixed->ifa_flags;
  netlink_message::each_attribute(header, sizeof(ifaddrmsg), [&](const nlattr* attribute) {
    // On point-to-point devices IFA_ADDRESS is the other end; where there is IFA_LOCAL, that is
    // ours.
    if (mnl_attr_get_type(attribute) == IFA_LOCAL) {
      info.address = netlink_message::address_from(attribute);
    } else if (mnl_attr_get_type(attribute) == IFA_ADDRESS) {
      peer = netlink_message::address_from(attribute);
    } else if (mnl_attr_get_type(attribute) == IFA_FLAGS) {
      flags = netlink_message::u32_from(attribute);
    }
  });
  info.deprecated = (flags & IFA_F_DEPRECATED) != 0;
  info.tentative = (flags & IFA_F_DADFAILED) != 0 ||
                   ((flags & IFA_F_TENTATIVE) != 0 && (flags & IFA_F_OPTIMISTIC) == 0);
  if (!info.address.is_set()) info.address = peer;
  return info;
}

NeighbourInfo neighbour_from(const nlmsghdr* header) {
  const auto* fixed = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(header));
  NeighbourInfo info;
  info.ifindex = static_cast<uint32_t>(fixed->ndm_ifindex);
  info.permanent = (fixed->ndm_state & NUD_PERMANENT) != 0;
  netlink_message::each_attribute(header, sizeof(ndmsg), [&info](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case NDA_DST:
        info.address = netlink_message::address_from(attribute);
        break;
      case NDA_LLADDR:
        info.mac = netlink_message::mac_from(attribute);
        break;
      case NDA_PROTOCOL:
        info.protocol = mnl_attr_get_u8(attribute);
        break;
      default:
        break;
    }
  });
  return info;
}

std::string describe(const Address& address, uint32_t ifindex) {
  return to_string(address) + " on device " + std::to_string(ifindex);
}

void put_interface_address(Message& message, uint32_t ifindex, const Address& address,
                           uint8_t prefix_length) {
  auto* fixed = message.put<ifaddrmsg>();
  fixed->ifa_family = netlink_message::family_of(address);
  fixed->ifa_prefixlen = prefix_length;
  fixed->ifa_scope = RT_SCOPE_UNIVERSE;
  fixed->ifa_index = ifindex;
  netlink_message::put_address(message.header(), IFA_LOCAL, address);
  netlink_message::put_address(message.header(), IFA_ADDRESS, address);
}

void put_neighbour(Message& message, const NeighbourInfo& neighbour) {
  auto* fixed = message.put<ndmsg>();
  fixed->ndm_family = netlink_message::family_of(neighbour.address);
  fixed->ndm_ifindex = static_cast<int>(neighbour.ifindex);
  fixed->ndm_state = NUD_PERMANENT;
  netlink_message::put_address(message.header(), NDA_DST, neighbour.address);
}

}  // namespace

Result<std::vector<AddressInfo>> Netlink::addresses() {
  Message message(RTM_GETADDR, NLM_F_DUMP);
  message.put<ifaddrmsg>();
  std::vector<AddressInfo> found;
  auto done = dump(message.header(), "list addresses", [&found](const nlmsghdr* header) {
    if (header->nlmsg_type != RTM_NEWADDR) return;
    if (mnl_nlmsg_get_payload_len(header) < sizeof(ifaddrmsg)) return;
    found.push_back(address_info_from(header));
  });
  if (!done) return fail(done.error());
  return found;
}

Status Netlink::add_address(uint32_t ifindex, const Address& address, uint8_t prefix_length) {
  Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  put_interface_address(message, ifindex, address, prefix_length);
  if (!address.is_ipv4()) mnl_attr_put_u32(message.header(), IFA_FLAGS, IFA_F_NODAD);
  return request(message.header(), "add address " + describe(address, ifindex));
}

Status Netlink::delete_address(uint32_t ifindex, const Address& address, uint8_t prefix_length) {
  Message message(RTM_DELADDR, 0);
  put_interface_address(message, ifindex, address, prefix_length);
  return request(message.header(), "delete address " + describe(address, ifindex));
}

Result<std::vector<NeighbourInfo>> Netlink::neighbours() {
  Message message(RTM_GETNEIGH, NLM_F_DUMP);
  message.put<ndmsg>();
  std::vector<NeighbourInfo> found;
  auto done = dump(message.header(), "list neighbours", [&found](const nlmsghdr* header) {
    if (header->nlmsg_type != RTM_NEWNEIGH) return;
    if (mnl_nlmsg_get_payload_len(header) < sizeof(ndmsg)) return;
    found.push_back(neighbour_from(header));
  });
  if (!done) return fail(done.error());
  return found;
}

Status Netlink::replace_neighbour(const NeighbourInfo& neighbour) {
  Message message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  put_neighbour(message, neighbour);
  mnl_attr_put(message.header(), NDA_LLADDR, neighbour.mac.bytes.size(),
               neighbour.mac.bytes.data());
  if (neighbour.protocol != 0) {
    mnl_attr_put_u8(message.header(), NDA_PROTOCOL, neighbour.protocol);
  }
  return request(message.header(),
                 "set neighbour " + describe(neighbour.address, neighbour.ifindex));
}

Status Netlink::delete_neighbour(const NeighbourInfo& neighbour) {
  Message message(RTM_DELNEIGH, 0);
  put_neighbour(message, neighbour);
  return request(message.header(),
                 "delete neighbour " + describe(neighbour.address, neighbour.ifindex));
}

}  // namespace sluice
