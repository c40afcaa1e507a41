// SPDX-License-Identifier: Apache-2.0
// Inside apply: the pinned maps that all programs share, opened once and handed to each object.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/apply/datapath.h"
#include "lib/fd/fd.h"
#include "lib/result/result.h"

struct bpf_object;

namespace sluice {

// <bpffs>/sluice, and our layout's folder in it.
std::string pin_root(const std::string& bpffs);
std::string pin_folder(const std::string& bpffs);

struct SharedMaps {
  std::string folder;                           // of the pins
  std::map<std::string, uint32_t> max_entries;  // wanted, by map name; others as in the object
  std::map<std::string, Fd> fds;                // by map name
  std::vector<std::string> warnings;

  int fd(const std::string& name) const;  // -1 where no program declares it
};

SharedMaps shared_maps(const DatapathOptions& options);

// Before `object` is loaded: gives it the maps that are open or pinned already; the others will be
// created and pinned by the load. kExists where a pinned map has another shape.
Status share_maps(bpf_object* object, SharedMaps& maps);
// After the load: keeps the maps it created.
Status keep_maps(bpf_object* object, SharedMaps& maps);
// Pins the maps that are open again where somebody took their pins away. Returns how many.
Result<size_t> repin_maps(const SharedMaps& maps);

}  // namespace sluice
