// SPDX-License-Identifier: Apache-2.0
#include "agent/admin/decode.h"

#include <endian.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "lib/ip/ip.h"
#include "lib/verdict/names.h"

namespace sluice {

namespace {

constexpr uint64_t kNsPerMs = 1000000;

uint64_t elapsed_ms(uint64_t now_ns, uint64_t then_ns) {
  return now_ns > then_ns ? (now_ns - then_ns) / kNsPerMs : 0;
}

std::string text_or_empty(const ip_addr& address) {
  const Address value = from_abi(address);
  return value.is_set() ? to_string(value) : std::string();
}

std::string mac_text(const __u8 (&bytes)[6]) {
  Mac mac;
  std::copy(std::begin(bytes), std::end(bytes), mac.bytes.begin());
  return to_string(mac);
}

std::string hex(uint32_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string digits;
  do {
    digits.insert(digits.begin(), kDigits[value & 0xfU]);
    value >>= 4;
  } while (value != 0);
  return "0x" + digits;
}

// Names of the bits that are set; what has no name is shown in hex, so that nothing is hidden.
template <class Add, size_t N>
void add_flags(uint32_t flags, const std::array<std::pair<uint32_t, const char*>, N>& names,
               const Add& add) {
  for (const auto& [bit, name] : names) {
    if ((flags & bit) != 0) add(name);
    flags &= ~bit;
  }
  if (flags != 0) add(hex(flags));
}

constexpr std::array<std::pair<uint32_t, const char*>, 4> kConntrackFlags = {{
    {CT_TRANSLATE, "translate"},
    {CT_HOST, "host"},
    {CT_PICKED_UP, "picked_up"},
    {CT_CLOSE_REPORTED, "close_reported"},
}};
constexpr std::array<std::pair<uint32_t, const char*>, 6> kAddressFlags = {{
    {ADDRESS_LOCAL_POD, "local_pod"},
    {ADDRESS_REMOTE_POD, "remote_pod"},
    {ADDRESS_THIS_NODE, "this_node"},
    {ADDRESS_REMOTE_NODE, "remote_node"},
    {ADDRESS_TUNNEL, "tunnel"},
    {ADDRESS_TRANSLATE, "translate"},
}};
constexpr std::array<std::pair<uint32_t, const char*>, 2> kEndpointFlags = {{
    {ENDPOINT_ISOLATED_INGRESS, "isolated_ingress"},
    {ENDPOINT_ISOLATED_EGRESS, "isolated_egress"},
}};

std::string state_name(uint8_t state) {
  switch (state) {
    case CT_STATE_NEW:
      return "new";
    case CT_STATE_ESTABLISHED:
      return "established";
    case CT_STATE_CLOSING:
      return "closing";
    case CT_STATE_CLOSED:
      return "closed";
    default:
      return "state " + std::to_string(state);
  }
}

}  // namespace

std::string protocol_name(uint8_t proto) {
  switch (proto) {
    case IPPROTO_TCP:
      return "tcp";
    case IPPROTO_UDP:
      return "udp";
    case IPPROTO_ICMP:
      return "icmp";
    case IPPROTO_ICMPV6:
      return "icmpv6";
    case IPPROTO_SCTP:
      return "sctp";
    default:
      return std::to_string(proto);
  }
}

std::string identity_name(uint32_t identity, const std::map<uint32_t, std::string>& names) {
  switch (identity) {
    case IDENTITY_UNKNOWN:
      return "unknown";
    case IDENTITY_HOST:
      return "host";
    case IDENTITY_WORLD:
      return "world";
    case IDENTITY_UNMANAGED:
      return "unmanaged";
    case IDENTITY_HEALTH:
      return "health";
    case IDENTITY_INIT:
      return "init";
    case IDENTITY_REMOTE_NODE:
      return "remote-node";
    case IDENTITY_KUBE_APISERVER:
      return "kube-apiserver";
    default:
      break;
  }
  const auto found = names.find(identity);
  return found == names.end() ? std::string() : found->second;
}

admin::v1::Conntrack decode_conntrack(const ct_key& key, const ct_entry& entry, uint64_t now_ns) {
  const bool opener_is_a = (entry.flags & CT_OPENER_IS_A) != 0;
  admin::v1::Conntrack row;
  row.set_protocol(protocol_name(key.proto));
  row.set_opener(text_or_empty(opener_is_a ? key.addr_a : key.addr_b));
  row.set_opener_port(be16toh(opener_is_a ? key.port_a_be : key.port_b_be));
  row.set_replier(text_or_empty(opener_is_a ? key.addr_b : key.addr_a));
  row.set_replier_port(be16toh(opener_is_a ? key.port_b_be : key.port_a_be));
  row.set_state(state_name(entry.state));
  row.set_age_ms(elapsed_ms(now_ns, entry.created_ns));
  row.set_idle_ms(elapsed_ms(now_ns, entry.last_seen_ns));
  row.set_opener_packets(entry.packets[CT_FROM_OPENER]);
  row.set_opener_bytes(entry.bytes[CT_FROM_OPENER]);
  row.set_replier_packets(entry.packets[CT_FROM_REPLIER]);
  row.set_replier_bytes(entry.bytes[CT_FROM_REPLIER]);
  row.set_translated_address(text_or_empty(entry.nat_addr));
  row.set_translated_port(be16toh(entry.nat_port_be));
  row.set_tunnel(text_or_empty(entry.peer_node));
  row.set_opener_identity(entry.opener_identity);
  row.set_replier_identity(entry.replier_identity);
  row.set_hook(hook_name(entry.hook));
  add_flags(entry.flags & ~CT_OPENER_IS_A, kConntrackFlags,
            [&row](std::string name) { row.add_flags(std::move(name)); });
  return row;
}

admin::v1::Translation decode_translation(const nat_key& key, const nat_row& row, uint64_t now_ns) {
  admin::v1::Translation result;
  result.set_protocol(protocol_name(key.proto));
  result.set_pod(text_or_empty(row.pod));
  result.set_pod_port(be16toh(row.pod_port_be));
  result.set_node(text_or_empty(key.node));
  result.set_node_port(be16toh(key.node_port_be));
  result.set_remote(text_or_empty(key.remote));
  result.set_remote_port(be16toh(key.remote_port_be));
  result.set_age_ms(elapsed_ms(now_ns, row.created_ns));
  return result;
}

admin::v1::DatapathEndpoint decode_endpoint(uint32_t ifindex, const endpoint_row& row) {
  admin::v1::DatapathEndpoint result;
  result.set_ifindex(ifindex);
  result.set_ipv4(text_or_empty(row.ipv4));
  result.set_ipv6(text_or_empty(row.ipv6));
  result.set_identity(row.identity);
  result.set_pod_mac(mac_text(row.pod_mac));
  result.set_host_mac(mac_text(row.host_mac));
  add_flags(row.flags, kEndpointFlags,
            [&result](std::string name) { result.add_flags(std::move(name)); });
  return result;
}

admin::v1::IdentityRow decode_identity(const identity_key& key, const identity_row& row,
                                       const std::map<uint32_t, std::string>& names) {
  admin::v1::IdentityRow result;
  Prefix prefix;
  std::copy(std::begin(key.addr), std::end(key.addr), prefix.address.bytes.begin());
  prefix.length = static_cast<uint8_t>(std::min<uint32_t>(key.prefix_bits, 128));
  result.set_prefix(to_string(prefix));
  result.set_identity(row.identity);
  result.set_identity_name(identity_name(row.identity, names));
  result.set_ifindex(row.ifindex);
  result.set_node(text_or_empty(row.node));
  add_flags(row.flags, kAddressFlags,
            [&result](std::string name) { result.add_flags(std::move(name)); });
  return result;
}

}  // namespace sluice
