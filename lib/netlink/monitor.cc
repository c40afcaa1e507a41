// SPDX-License-Identifier: Apache-2.0
// Notifications of devices, addresses and routes: says that something changed, the listener reads
// what.
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "lib/netlink/netlink.h"

namespace sluice {

NetlinkMonitor::NetlinkMonitor(mnl_socket* socket) : socket_(socket) {}

NetlinkMonitor::NetlinkMonitor(NetlinkMonitor&& other) noexcept
    : socket_(std::exchange(other.socket_, nullptr)) {}

NetlinkMonitor& NetlinkMonitor::operator=(NetlinkMonitor&& other) noexcept {
  std::swap(socket_, other.socket_);
  return *this;
}

NetlinkMonitor::~NetlinkMonitor() {
  if (socket_ != nullptr) mnl_socket_close(socket_);
}

Result<NetlinkMonitor> NetlinkMonitor::open() {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (socket == nullptr) return fail(from_errno("open a netlink monitor socket"));
  NetlinkMonitor monitor(socket);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
    return fail(from_errno("bind a netlink monitor socket"));
  }
  for (int group : {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
                    RTNLGRP_IPV6_ROUTE}) {
    if (mnl_socket_setsockopt(socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0) {
      return fail(from_errno("join netlink group " + std::to_string(group)));
    }
  }
  return monitor;
}

int NetlinkMonitor::fd() const {
  return mnl_socket_get_fd(socket_);
}

Result<bool> NetlinkMonitor::drain() {
  bool changed = false;
  char buffer[32768];
  for (;;) {
    const ssize_t got = ::recv(fd(), buffer, sizeof(buffer), MSG_DONTWAIT | MSG_TRUNC);
    // The groups carry nothing but changes; which one it was is read anew, so a lost message costs
    // nothing.
    if (got > 0 || (got < 0 && errno == ENOBUFS)) changed = true;
    if (got == 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))) return changed;
    if (got < 0 && errno != ENOBUFS && errno != EINTR) {
      return fail(from_errno("receive netlink notifications"));
    }
  }
}

}  // namespace sluice
