// SPDX-License-Identifier: Apache-2.0
// Inside apply: the four packet programs, loaded for one configuration.
#pragma once

#include <array>
#include <cstdint>

#include "agent/apply/maps.h"
#include "agent/compile/rows.h"
#include "bpf/abi/config.h"
#include "bpf/abi/verdict.h"
#include "lib/fd/fd.h"

namespace sluice {

enum class Direction : uint8_t { kIngress, kEgress };

// A loaded program: its descriptor keeps it and its constants alive.
struct Program {
  Fd fd;
  uint32_t id = 0;  // the kernel's number, which links and filters report
};
using ProgramSet = std::array<Program, HOOK_MAX>;

// Creates or adopts every map that a packet program declares, without loading the programs.
Status create_maps(SharedMaps& maps);
// kInvalid and the like carry the end of the verifier's log.
Result<ProgramSet> load_programs(const datapath_config& config, SharedMaps& maps);

// The hook whose program sits at this side of a device: what enters a pod's host-side device leaves
// the pod.
hook hook_at(DeviceRole role, Direction direction);

}  // namespace sluice
