// SPDX-License-Identifier: Apache-2.0
// The one owner of the node's desired state.
#include "agent/desired/state.h"

#include <algorithm>
#include <set>
#include <utility>

namespace sluice {
namespace {

bool is_endpoint(const LocalEndpoint& endpoint, std::string_view network,
                 std::string_view container_id, std::string_view ifname) {
  return endpoint.container_id == container_id && endpoint.ifname == ifname &&
         endpoint.network == network;
}

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

bool DesiredState::upsert_endpoint(LocalEndpoint endpoint) {
  auto& endpoints = desired_.endpoints;
  const auto same =
      std::find_if(endpoints.begin(), endpoints.end(), [&](const LocalEndpoint& other) {
        return is_endpoint(other, endpoint.network, endpoint.container_id, endpoint.ifname);
      });
  if (same != endpoints.end()) {
    if (*same == endpoint) return false;
    endpoints.erase(same);
  }
  const auto at =
      std::upper_bound(endpoints.begin(), endpoints.end(), endpoint,
                       [](const auto& a, const auto& b) { return a.ifindex < b.ifindex; });
  endpoints.insert(at, std::move(endpoint));
  ++revision_;
  return true;
}

bool DesiredState::remove_endpoint(std::string_view network, std::string_view container_id,
                                   std::string_view ifname) {
  const auto removed = std::erase_if(desired_.endpoints, [&](const LocalEndpoint& endpoint) {
    return is_endpoint(endpoint, network, container_id, ifname);
  });
  if (removed == 0) return false;
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
