// SPDX-License-Identifier: Apache-2.0
// The one owner of the node's desired state.
#include "agent/desired/state.h"

#include <set>
#include <utility>

namespace sluice {
namespace {

std::set<std::string> identities_of(const IntentDelta& delta) {
  std::set<std::string> names;
  for (const auto& pod : delta.pods) {
    if (!pod->host_network) names.insert(pod->identity);
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

// Before the delta is applied. No two pods have one address, so who gets it is named where who
// loses it is.
void DesiredState::note_pods(const IntentDelta& delta) {
  if (!delta.nodes.empty() || !delta.removed_nodes.empty()) pod_changes_.all = true;
  if (pod_changes_.all) return pod_changes_.by_address.clear();
  const auto set = [this](const PodIntent& pod, const std::shared_ptr<const PodIntent>& now) {
    if (pod.host_network) return;  // the node's addresses
    for (const Address& address : pod.addresses) pod_changes_.by_address[address] = now;
  };
  const auto lost = [&](const std::string& namespace_name, const std::string& name) {
    if (const PodIntent* pod = find_pod(desired_.intent, namespace_name, name)) set(*pod, nullptr);
  };
  for (const auto& [namespace_name, name] : delta.removed_pods) lost(namespace_name, name);
  for (const auto& pod : delta.pods) lost(pod->namespace_name, pod->name);
  for (const auto& pod : delta.pods) set(*pod, pod);
}

Result<bool> DesiredState::change_intent(const IntentDelta& delta) {
  const bool first = std::exchange(first_intent_, false);
  note_pods(delta);
  const bool changed = apply(delta, desired_.intent) || first;
  if (changed) {
    const auto names = identities_of(delta);
    // Only here: until the first intent is in, nothing says which of the loaded names are gone.
    bool renumbered = first && identities_.forget_others(names);
    renumbered |= identities_.number(names);
    if (renumbered) {
      desired_.identity_numbers = identities_.numbers();
      identities_saved_ = false;
    }
    ++revision_;
  }
  if (auto saved = save_identities(); !saved) return fail(saved.error());
  return changed;
}

Status DesiredState::save_identities() {
  if (identities_saved_) return {};
  if (auto saved = identities_.save(); !saved) return saved;
  identities_saved_ = true;
  return {};
}

bool DesiredState::set_endpoints(std::vector<LocalEndpoint> endpoints) {
  if (endpoints == desired_.endpoints) return false;
  desired_.endpoints = std::move(endpoints);
  ++revision_;
  pod_changes_.besides = true;
  return true;
}

bool DesiredState::set_host(std::vector<Uplink> uplinks, std::vector<Address> host_addresses) {
  if (uplinks == desired_.uplinks && host_addresses == desired_.host_addresses) return false;
  desired_.uplinks = std::move(uplinks);
  desired_.host_addresses = std::move(host_addresses);
  ++revision_;
  pod_changes_.besides = true;
  return true;
}

bool DesiredState::set_overlay_ifindex(uint32_t ifindex) {
  if (ifindex == desired_.overlay_ifindex) return false;
  desired_.overlay_ifindex = ifindex;
  ++revision_;
  pod_changes_.besides = true;
  return true;
}

std::vector<Address> DesiredState::node_addresses() const {
  const NodeIntent* self = find_node(desired_.intent, desired_.settings.node_name);
  return self == nullptr ? std::vector<Address>{} : self->addresses;
}

}  // namespace sluice
