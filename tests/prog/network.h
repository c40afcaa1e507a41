// SPDX-License-Identifier: Apache-2.0
// The network that programs are run in: a namespace of this process with real devices, routes and
// neighbours, so that FIB look-ups, MTU checks and socket look-ups are the kernel's own.
#pragma once

#include <cstdint>
#include <string>

#include "lib/fd/fd.h"

namespace sluice::test {

// Devices of the namespace, by index.
struct Devices {
  uint32_t pod_a = 0;  // host-side ends; the pods' ends are eth-a and eth-b, in `pods`
  uint32_t pod_b = 0;
  uint32_t stranger = 0;  // a device with no row in any table
  uint32_t uplink = 0;    // its other end is `wire`, in the namespace
  uint32_t overlay = 0;
};

struct Network {
  Devices devices;
  Fd pods;  // namespace in which both pods' ends live
};

// Once a process: leaves the namespace it was started in for good. Ends the process where the
// kernel refuses.
const Network& network();

// Runs a shell command, ends the process with its text where it fails.
void shell(const std::string& command);

}  // namespace sluice::test
