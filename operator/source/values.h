// SPDX-License-Identifier: Apache-2.0
// What a field of an object may hold, the same for every source.
#pragma once

#include <string_view>

#include "lib/ip/ip.h"

namespace sluice {

// An address that a node or a pod can have: not unspecified, of this host, link-local or multicast.
// kInvalid says what is wrong with the text.
Result<Address> object_address(std::string_view text);
// A range of pods: with its length, none of the above, not everything.
Result<Prefix> pod_cidr(std::string_view text);

}  // namespace sluice
