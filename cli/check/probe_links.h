// SPDX-License-Identifier: Apache-2.0
// Tries whether the kernel makes a kind of device, for check/kernel.
#pragma once

#include <string>

namespace sluice::cli {

// Makes a device of the kind ("veth", "vxlan", "netkit") in the calling thread's network namespace
// and leaves it there: call it only in one that is thrown away. Returns 0, or the errno of the
// kernel's refusal. Thread: any.
int try_link_kind(const std::string& kind);

}  // namespace sluice::cli
