// SPDX-License-Identifier: Apache-2.0
#include "cli/check/probe_links.h"

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <memory>

namespace sluice::cli {

namespace {

struct CloseSocket {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

void put_kind(nlmsghdr* message, const std::string& kind) {
  nlattr* info = mnl_attr_nest_start(message, IFLA_LINKINFO);
  mnl_attr_put_str(message, IFLA_INFO_KIND, kind.c_str());
  if (kind == "vxlan") {
    nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    mnl_attr_put_u8(message, IFLA_VXLAN_COLLECT_METADATA, 1);
    mnl_attr_nest_end(message, data);
  }
  mnl_attr_nest_end(message, info);
}

}  // namespace

int try_link_kind(const std::string& kind) {
  const std::unique_ptr<mnl_socket, CloseSocket> socket(mnl_socket_open(NETLINK_ROUTE));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) != 0) return errno;
  std::array<char, 8192> buffer{};
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = RTM_NEWLINK;
  message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  message->nlmsg_seq = 1;
  auto* link = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
  link->ifi_family = AF_UNSPEC;
  put_kind(message, kind);
  if (mnl_socket_sendto(socket.get(), message, message->nlmsg_len) < 0) return errno;
  const ssize_t got = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
  if (got < 0) return errno;
  const int done = mnl_cb_run(buffer.data(), static_cast<size_t>(got), 1,
                              mnl_socket_get_portid(socket.get()), nullptr, nullptr);
  return done < 0 ? errno : 0;
}

}  // namespace sluice::cli
