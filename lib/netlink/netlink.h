// SPDX-License-Identifier: Apache-2.0
// Devices, addresses, routes and neighbours by rtnetlink (libmnl). One socket belongs to one
// network namespace for life: work inside a pod needs a socket that was opened there, not a thread
// that stays there. Thread: one at a time per socket. Errors carry the object and the kernel's own
// message where it gives one (ext ack).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/fd/fd.h"
#include "lib/ip/ip.h"
#include "lib/result/result.h"

struct mnl_socket;
struct nlmsghdr;

namespace sluice {

// The route protocol number that marks our routes and neighbours (rtnetlink's user range, not in
// rt_protos).
inline constexpr uint8_t kRouteProtocol = 83;

struct LinkInfo {
  uint32_t ifindex = 0;
  std::string name;
  std::string kind;   // "veth", "vxlan", ...; empty for hardware
  std::string alias;  // ifalias
  uint32_t mtu = 0;
  Mac mac;
  bool up = false;
  bool running = false;
  bool loopback = false;
  uint32_t peer_ifindex = 0;  // IFLA_LINK
};

struct AddressInfo {
  uint32_t ifindex = 0;
  Address address;
  uint8_t prefix_length = 0;  // of the family: 24, 64
  uint8_t scope = 0;          // RT_SCOPE_*
  bool deprecated = false;    // IPv6: for old connections only
  bool tentative = false;     // IPv6: not known to be nobody else's, or known not to be ours alone
};

struct RouteInfo {
  Prefix destination;
  uint32_t ifindex = 0;
  Address via;       // unset: on link
  Address source;    // unset: none
  uint32_t mtu = 0;  // 0: none
  uint32_t metric = 0;
  uint32_t table = 254;
  uint8_t protocol = 0;
  bool onlink = false;
  bool multipath = false;  // has several next hops; ifindex and via are the first one's
};

struct NeighbourInfo {
  uint32_t ifindex = 0;
  Address address;
  Mac mac;
  bool permanent = false;
  uint8_t protocol = 0;
};

// One end of a veth pair.
struct VethEnd {
  std::string name;
  Mac mac;
  uint32_t mtu = 0;
};

struct VxlanSpec {
  std::string name;
  uint16_t udp_port = 0;
  uint32_t mtu = 0;
  Mac mac;
};

class Netlink {
 public:
  // In the calling thread's network namespace.
  static Result<Netlink> open();
  // In the namespace behind `netns_fd` (the calling thread returns to its own before this returns).
  static Result<Netlink> open_in(int netns_fd);
  Netlink(Netlink&&) noexcept;
  Netlink& operator=(Netlink&&) noexcept;
  ~Netlink();

  Result<std::vector<LinkInfo>> links();
  Result<LinkInfo> link(const std::string& name);  // kNotFound
  Result<LinkInfo> link(uint32_t ifindex);         // kNotFound
  // Creates the pair at once with its inner end in `pod_netns_fd`. kExists where either name is
  // taken.
  Status add_veth(const VethEnd& host, const VethEnd& pod, int pod_netns_fd,
                  const std::string& alias);
  Status add_vxlan(const VxlanSpec& spec);  // collect-metadata ("external"), no learning
  Status set_link_up(uint32_t ifindex);
  Status set_link_mtu(uint32_t ifindex, uint32_t mtu);
  Status set_link_alias(uint32_t ifindex, const std::string& alias);
  Status delete_link(uint32_t ifindex);  // kNotFound where it is gone

  // Anybody's filters in the device's clsact qdisc; none where it has no such qdisc.
  Result<bool> has_clsact_filters(uint32_t ifindex);

  Result<std::vector<AddressInfo>> addresses();
  Status add_address(uint32_t ifindex, const Address& address,
                     uint8_t prefix_length);  // IPv6: no DAD
  Status delete_address(uint32_t ifindex, const Address& address, uint8_t prefix_length);

  // Unicast routes of the main table, both families; of one protocol where it is not 0 (the kernel
  // filters).
  Result<std::vector<RouteInfo>> routes(uint8_t protocol = 0);
  Status add_route(
      const RouteInfo& route);  // kExists where the table has the destination at that metric
  Status replace_route(const RouteInfo& route);
  Status delete_route(const RouteInfo& route);

  Result<std::vector<NeighbourInfo>> neighbours();
  Status replace_neighbour(const NeighbourInfo& neighbour);  // permanent
  Status delete_neighbour(const NeighbourInfo& neighbour);

 private:
  explicit Netlink(mnl_socket* socket);
  Status request(nlmsghdr* message, const std::string& what);
  Status dump(nlmsghdr* message, const std::string& what,
              const std::function<void(const nlmsghdr*)>& each);

  mnl_socket* socket_ = nullptr;
  uint32_t sequence_ = 0;
};

// Multicast notifications of links, addresses and routes in the calling thread's namespace.
// Readable when fd() is.
class NetlinkMonitor {
 public:
  static Result<NetlinkMonitor> open();
  NetlinkMonitor(NetlinkMonitor&&) noexcept;
  NetlinkMonitor& operator=(NetlinkMonitor&&) noexcept;
  ~NetlinkMonitor();
  int fd() const;
  // Consumes what is queued. True where anything of devices, addresses or routes changed, also
  // after an overrun (ENOBUFS).
  Result<bool> drain();

 private:
  explicit NetlinkMonitor(mnl_socket* socket);
  mnl_socket* socket_ = nullptr;
};

}  // namespace sluice
