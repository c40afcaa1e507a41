// SPDX-License-Identifier: Apache-2.0
// Kernel rows as admin messages: addresses in text, ports in host order, flags by name. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "admin/v1/admin.pb.h"
#include "bpf/abi/ct.h"
#include "bpf/abi/endpoint.h"

namespace sluice {

// Opener and replier instead of a and b. now_ns: CLOCK_MONOTONIC; a row newer than it has age 0.
admin::v1::Conntrack decode_conntrack(const ct_key& key, const ct_entry& entry, uint64_t now_ns);
admin::v1::Translation decode_translation(const nat_key& key, const nat_row& row, uint64_t now_ns);
admin::v1::DatapathEndpoint decode_endpoint(uint32_t ifindex, const endpoint_row& row);
// names: the agent's numbers; reserved ones are known.
admin::v1::IdentityRow decode_identity(const identity_key& key, const identity_row& row,
                                       const std::map<uint32_t, std::string>& names);

// "tcp", "udp", "icmp", "icmpv6", "sctp"; others by number.
std::string protocol_name(uint8_t proto);
// "world", "host", ...; the agent's own by `names`; "" where nobody knows it.
std::string identity_name(uint32_t identity, const std::map<uint32_t, std::string>& names);

}  // namespace sluice
