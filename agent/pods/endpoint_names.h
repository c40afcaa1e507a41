// SPDX-License-Identifier: Apache-2.0
// How a pod's device is named and marked, so that an agent that remembers nothing recognises it as
// ours.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "agent/desired/desired.h"
#include "lib/ip/ip.h"

namespace sluice {

inline constexpr size_t kAliasMaxBytes = 255;  // the kernel's IFALIASZ less the NUL

struct EndpointKey {
  std::string network;
  std::string container_id;
  std::string ifname;
  auto operator<=>(const EndpointKey&) const = default;
};

EndpointKey key_of(const LocalEndpoint& endpoint);
// "network/container/ifname", for messages.
std::string to_string(const EndpointKey& key);
// "sl" and 12 hex digits of a hash of the key; the same on every start.
std::string host_device_name(const EndpointKey& key);
// Locally administered, from a hash of the key, never kGatewayMac.
Mac pod_mac(const EndpointKey& key);
// The interface identifier of RFC 4291, appendix A, behind fe80::/64.
Address link_local(const Mac& mac);

// "sluice:c=<container>;i=<ifname>;n=<network>;4=<address>;6=<address>;u=<uid>;p=<namespace>/<pod>".
// Fields at the end that would pass 255 bytes are left out; nullopt where even container, ifname,
// network and addresses do not fit.
std::optional<std::string> endpoint_alias(const LocalEndpoint& endpoint);
// The reverse; nullopt where the alias is not ours or not whole. Fills MACs and host_device, not
// netns and ifindex.
std::optional<LocalEndpoint> parse_endpoint_alias(std::string_view alias);

}  // namespace sluice
