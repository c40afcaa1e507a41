// SPDX-License-Identifier: Apache-2.0
// The one owner of the node's desired state.
#include "agent/desired/state.h"

#include <set>
#include <utility>

namespace sluice {
namespace {

std::set<std::string> identities_of(const Intent& intent) {
  std::set<std::string> names;
  for (const PodIntent& pod : intent.pods) {
    if (!pod.host_network) names.insert(pod.identity);
  }
  return names;
}

}  // namespace

Result<std::unique_ptr<DesiredState>> DesiredState::open(NodeSettings settings,
                                                         const std::string& state_dir) {
  auto identities = IdentityNumbers::open(state_dir);
  if (!identities) return fail(identities.error());
  return std::unique_ptr<DesiredState>(
      new DesiredState(std::move(settings), std::move(*identities)));
}

DesiredState::DesiredState(NodeSettings settings, IdentityNumbers identities)
    : identities_(std::move(identities)) {
  desired_.settings = std::move(settings);
  desired_.identity_numbers = identities_.numbers();
  ++revision_;
}

Result<bool> DesiredState::set_intent(Intent intent) {
  const bool changed = first_intent_ || !(intent == desired_.intent);
  desired_.intent = std::move(intent);
  if (changed) {
    const auto names = identities_of(desired_.intent);
    // Only here: until the first intent is in, nothing says which of the loaded names are gone.
    bool renumbered = std::exchange(first_intent_, false) && identities_.forget_others(names);
    renumbered |= identities_.number(names);
    if (renumbered) {
      desired_.identity_numbers = identities_.numbers();
      identities_saved_ = false;
    }
    ++revision_;
  }
  if (!identities_saved_) {
    if (auto saved = identities_.save(); !saved) return fail(saved.error());
    identities_saved_ = true;
  }
  return changed;
}

bool DesiredState::set_endpoints(std::vector<LocalEndpoint> endpoints) {
  if (endpoints == desired_.endpoints) return false;
  desired_.endpoints = std::move(endpoints);
  ++revision_;
  return true;
}

bool DesiredState::set_host(std::vector<Uplink> uplinks, std::vector<Address> host_addresses) {
  if (uplinks == desired_.uplinks && host_addresses == desired_.host_addresses) return false;
  desired_.uplinks = std::move(uplinks);
  desired_.host_addresses = std::move(host_addresses);
  ++revision_;
  return true;
}

bool DesiredState::set_overlay_ifindex(uint32_t ifindex) {
  if (ifindex == desired_.overlay_ifindex) return false;
  desired_.overlay_ifindex = ifindex;
  ++revision_;
  return true;
}

std::vector<Address> DesiredState::node_addresses() const {
  for (const NodeIntent& node : desired_.intent.nodes) {
    if (node.name == desired_.settings.node_name) return node.addresses;
  }
  return {};
}

}  // namespace sluice
