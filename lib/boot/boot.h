// SPDX-License-Identifier: Apache-2.0
// Time that nobody sets: since the kernel started, and which start that was. For what has to be put
// in order over restarts of a process.
#pragma once

#include <cstdint>
#include <string>

namespace sluice {

int64_t since_boot_ms();  // CLOCK_BOOTTIME
// The same for every process until the machine starts again; empty where /proc does not tell.
std::string boot_id();

}  // namespace sluice
