// SPDX-License-Identifier: Apache-2.0
// What agent/pods must not forget over a restart: <state_dir>/pods.json. JSON, so that a person can
// read it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/desired/desired.h"
#include "agent/pods/ipam.h"
#include "lib/result/result.h"

namespace sluice {

struct PodState {
  std::vector<LocalEndpoint> endpoints;
  std::vector<FreedAddress> freed;  // oldest first
  bool operator==(const PodState&) const = default;
};

struct LoadedState {
  PodState state;
  bool found = false;     // a whole file was read
  std::string condition;  // not empty: the file was corrupt, where it went and what follows
};

// Pure halves, for tests. kInvalid names the field.
std::string encode_pod_state(const PodState& state);
Result<PodState> decode_pod_state(const std::string& text);

// Thread: one at a time.
class Store {
 public:
  explicit Store(std::string state_dir);

  // A file that cannot be decoded is moved to pods.json.corrupt-<unix ms> and an empty state
  // returned with `condition`. Fails only where the file cannot be read at all: a folder that
  // cannot be made or written fails save(). Removes what an interrupted save left behind.
  Result<LoadedState> load(int64_t now_ms);
  // Atomic: a crash leaves the old file or the new one.
  Status save(const PodState& state);
  // The same in two halves, see lib/fd.
  Status replace(const PodState& state);
  Status sync_folder();
  const std::string& path() const { return path_; }

 private:
  std::string directory_;
  std::string path_;
};

}  // namespace sluice
