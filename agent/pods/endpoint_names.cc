// SPDX-License-Identifier: Apache-2.0
// Grammar of an alias: "sluice:" field (";" field)*; field = letter "=" text without ";".
#include "agent/pods/endpoint_names.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace sluice {
namespace {

// FNV-1a over the three parts with a separator that none of them can hold, then a finaliser that
// spreads every input bit over all output bits. Names a device; nothing secret hangs on it.
uint64_t hash_of(const EndpointKey& key, uint64_t salt) {
  uint64_t hash = 0xcbf29ce484222325ULL ^ salt;
  const auto mix = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
    hash = (hash ^ 0xff) * 0x100000001b3ULL;
  };
  mix(key.network);
  mix(key.container_id);
  mix(key.ifname);
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ULL;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebULL;
  return hash ^ (hash >> 31);
}

constexpr uint64_t kMacSalt = 0x6d6163;

void append_field(std::string& alias, char letter, std::string_view text) {
  if (text.empty()) return;
  if (alias.size() > kAliasMark.size()) alias += ';';
  alias += letter;
  alias += '=';
  alias += text;
}

bool set_address(std::optional<Address>& out, std::string_view text, bool ipv4) {
  const Result<Address> address = parse_address(text);
  if (!address || address->is_ipv4() != ipv4) return false;
  out = *address;
  return true;
}

bool set_field(LocalEndpoint& endpoint, char letter, std::string_view text) {
  switch (letter) {
    case 'c':
      endpoint.container_id = text;
      return true;
    case 'i':
      endpoint.ifname = text;
      return true;
    case 'n':
      endpoint.network = text;
      return true;
    case '4':
      return set_address(endpoint.ipv4, text, true);
    case '6':
      return set_address(endpoint.ipv6, text, false);
    case 'm':
      return std::from_chars(text.data(), text.data() + text.size(), endpoint.mtu).ec ==
             std::errc();
    case 'u':
      endpoint.pod_uid = text;
      return true;
    case 'p': {
      const size_t slash = text.find('/');
      if (slash == std::string_view::npos) return false;
      endpoint.pod_namespace = text.substr(0, slash);
      endpoint.pod_name = text.substr(slash + 1);
      return true;
    }
    default:
      return true;  // of a later version
  }
}

}  // namespace

EndpointKey key_of(const LocalEndpoint& endpoint) {
  return {.network = endpoint.network,
          .container_id = endpoint.container_id,
          .ifname = endpoint.ifname};
}

std::string to_string(const EndpointKey& key) {
  return key.network + "/" + key.container_id + "/" + key.ifname;
}

std::string host_device_name(const EndpointKey& key) {
  char name[16];
  std::snprintf(name, sizeof(name), "sl%012llx",
                static_cast<unsigned long long>(hash_of(key, 0) & 0xffffffffffffULL));
  return name;
}

Mac pod_mac(const EndpointKey& key) {
  const uint64_t hash = hash_of(key, kMacSalt);
  Mac mac;
  mac.bytes[0] = 0x06;  // locally administered, one station; the gateway's begins with 02
  for (size_t i = 1; i < mac.bytes.size(); ++i)
    mac.bytes[i] = static_cast<uint8_t>(hash >> (8 * i));
  return mac;
}

Address link_local(const Mac& mac) {
  const auto& m = mac.bytes;
  Address address;
  address.bytes = {0xfe, 0x80, 0,    0,    0,    0,    0,   0, static_cast<uint8_t>(m[0] ^ 0x02),
                   m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};
  return address;
}

std::optional<std::string> endpoint_alias(const LocalEndpoint& endpoint) {
  std::string alias(kAliasMark);
  append_field(alias, 'c', endpoint.container_id);
  append_field(alias, 'i', endpoint.ifname);
  append_field(alias, 'n', endpoint.network);
  if (endpoint.ipv4) append_field(alias, '4', to_string(*endpoint.ipv4));
  if (endpoint.ipv6) append_field(alias, '6', to_string(*endpoint.ipv6));
  if (alias.size() > kAliasMaxBytes) return std::nullopt;

  // The pod's name decides its identity after a loss of state; its uid only guards against a
  // mix-up.
  std::string longer = alias;
  if (!endpoint.pod_name.empty())
    append_field(longer, 'p', endpoint.pod_namespace + "/" + endpoint.pod_name);
  if (longer.size() <= kAliasMaxBytes) alias = longer;
  longer = alias;
  if (endpoint.mtu != 0) append_field(longer, 'm', std::to_string(endpoint.mtu));
  if (longer.size() <= kAliasMaxBytes) alias = longer;
  longer = alias;
  append_field(longer, 'u', endpoint.pod_uid);
  if (longer.size() <= kAliasMaxBytes) alias = longer;
  return alias;
}

std::optional<LocalEndpoint> parse_endpoint_alias(std::string_view alias) {
  if (!alias.starts_with(kAliasMark)) return std::nullopt;
  alias.remove_prefix(kAliasMark.size());
  LocalEndpoint endpoint;
  while (!alias.empty()) {
    const std::string_view field = alias.substr(0, alias.find(';'));
    alias.remove_prefix(std::min(alias.size(), field.size() + 1));
    if (field.size() < 2 || field[1] != '=') return std::nullopt;
    if (!set_field(endpoint, field[0], field.substr(2))) return std::nullopt;
  }
  if (endpoint.container_id.empty() || endpoint.ifname.empty() || endpoint.network.empty())
    return std::nullopt;
  if (!endpoint.ipv4 && !endpoint.ipv6) return std::nullopt;
  const EndpointKey key = key_of(endpoint);
  endpoint.host_device = host_device_name(key);
  endpoint.pod_mac = pod_mac(key);
  endpoint.host_mac = kGatewayMac;
  return endpoint;
}

}  // namespace sluice
