// SPDX-License-Identifier: Apache-2.0
// Makes the namespace and its devices with iproute2.
#include "tests/prog/network.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace sluice::test {

namespace {

constexpr const char* kLinks = R"(
link add pod-a type veth peer name eth-a
link add pod-b type veth peer name eth-b
link add stranger type veth peer name stranger-end
link add uplink type veth peer name wire
link add overlay type vxlan external dstport 8472
link set lo up
link set pod-a addrgenmode none address 02:00:00:00:0a:01 up
link set pod-b addrgenmode none address 02:00:00:00:0b:01 up
link set stranger addrgenmode none up
link set uplink addrgenmode none address 02:00:00:00:00:01 up
link set wire addrgenmode none address 02:00:00:00:00:99 up
link set overlay addrgenmode none up
address add 192.0.2.1/24 dev uplink
address add 2001:db8:1::1/64 dev uplink nodad
neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev uplink nud permanent
neighbour add 192.0.2.3 lladdr 02:00:00:00:00:03 dev uplink nud permanent
neighbour add 192.0.2.254 lladdr 02:00:00:00:00:fe dev uplink nud permanent
neighbour add 2001:db8:1::2 lladdr 02:00:00:00:00:02 dev uplink nud permanent
neighbour add 2001:db8:1::fe lladdr 02:00:00:00:00:fe dev uplink nud permanent
route add 10.2.0.0/24 via 192.0.2.2
route add default via 192.0.2.254
route add blackhole 198.51.100.0/24
route add unreachable 198.51.101.0/24
route add fd00:2::/64 via 2001:db8:1::2
route add default via 2001:db8:1::fe
route add blackhole 2001:db8:dead::/64
route add unreachable 2001:db8:beef::/64
)";

[[noreturn]] void fail(const std::string& what) {
  std::perror(what.c_str());
  std::exit(2);
}

Fd this_namespace() {
  Fd fd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) fail("/proc/self/ns/net");
  return fd;
}

void write_setting(const std::string& path, const char* value) {
  FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr || std::fputs(value, file) < 0 || std::fclose(file) != 0) fail(path);
}

void batch(const std::string& commands) {
  FILE* ip = popen("ip -batch -", "w");
  if (ip == nullptr || std::fputs(commands.c_str(), ip) < 0 || pclose(ip) != 0) fail("ip -batch");
}

Network make() {
  Network network;
  if (unshare(CLONE_NEWNET) != 0) fail("unshare");
  network.pods = this_namespace();
  if (unshare(CLONE_NEWNET) != 0) fail("unshare");
  // Nobody may answer, solicit or report on these devices but the programs.
  write_setting("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
  write_setting("/proc/sys/net/ipv6/conf/default/router_solicitations", "0");
  write_setting("/proc/sys/net/ipv4/ip_forward", "1");
  write_setting("/proc/sys/net/ipv6/conf/all/forwarding", "1");
  const std::string pods =
      "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(network.pods.get());
  batch(std::string(kLinks) + "link set eth-a address 02:00:00:00:0a:02 netns " + pods +
        "\nlink set eth-b address 02:00:00:00:0b:02 netns " + pods + "\n");
  network.devices = {.pod_a = if_nametoindex("pod-a"),
                     .pod_b = if_nametoindex("pod-b"),
                     .stranger = if_nametoindex("stranger"),
                     .uplink = if_nametoindex("uplink"),
                     .overlay = if_nametoindex("overlay")};
  return network;
}

}  // namespace

void shell(const std::string& command) {
  if (std::system(command.c_str()) != 0) fail(command);
}

const Network& network() {
  static const Network made = make();
  return made;
}

}  // namespace sluice::test
