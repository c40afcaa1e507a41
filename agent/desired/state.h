// SPDX-License-Identifier: Apache-2.0
// The one owner of the node's desired state: joins its inputs and counts revisions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/desired/desired.h"
#include "agent/desired/identities.h"
#include "lib/result/result.h"

namespace sluice {

// Thread: the control loop.
class DesiredState {
 public:
  // Errors: state_dir cannot be read.
  static Result<std::unique_ptr<DesiredState>> open(NodeSettings settings,
                                                    const std::string& state_dir);

  // Each of these raises the revision where it changes anything, and returns whether it did.
  // change_intent: against what is there; the first brings everything. It may fail to save new
  // identity numbers: the state has changed all the same, and save_identities tries again.
  Result<bool> change_intent(const IntentDelta& delta);
  Status save_identities();                                  // where they are not saved yet
  bool set_endpoints(std::vector<LocalEndpoint> endpoints);  // sorted by ifindex
  bool set_host(std::vector<Uplink> uplinks, std::vector<Address> host_addresses);
  bool set_overlay_ifindex(uint32_t ifindex);

  const Desired& desired() const { return desired_; }
  PodChanges take_pod_changes() {
    return std::exchange(pod_changes_, {.all = false, .besides = false});
  }
  uint64_t revision() const { return revision_; }
  // InternalIPs of this node, from the intent; what find_uplinks asks for.
  std::vector<Address> node_addresses() const;

 private:
  DesiredState(NodeSettings settings, IdentityNumbers identities);
  void note_pods(const IntentDelta& delta);

  Desired desired_;
  IdentityNumbers identities_;
  bool identities_saved_ = true;
  bool first_intent_ = true;
  PodChanges pod_changes_;
  uint64_t revision_ = 0;
};

}  // namespace sluice
