// SPDX-License-Identifier: Apache-2.0
// Inside apply: sl_drops, which only programs add rows to, kept from filling up.
#pragma once

#include <cstddef>

#include "lib/netlink/netlink.h"
#include "lib/result/result.h"

namespace sluice {

// Moves the counts of devices that are gone to rows of device 0, hook and reason kept. Returns the
// number of rows removed. A crash half-way counts some twice: totals may jump, they never fall.
Result<size_t> fold_gone_drops(Netlink& netlink, int drops_fd);

}  // namespace sluice
