// SPDX-License-Identifier: Apache-2.0
#include "agent/enrich/directory.h"

#include <algorithm>
#include <utility>

#include "agent/desired/pod_of.h"
#include "bpf/abi/endpoint.h"

namespace sluice {

namespace {

// More than these are written into a table of their own: what each snapshot copies stays small.
constexpr size_t kChangedPodsMax = 512;

struct Reserved {
  uint32_t number;
  const char* label;
};

constexpr Reserved kReserved[] = {
    {IDENTITY_UNKNOWN, "reserved:unknown"},
    {IDENTITY_HOST, "reserved:host"},
    {IDENTITY_WORLD, "reserved:world"},
    {IDENTITY_UNMANAGED, "reserved:unmanaged"},
    {IDENTITY_HEALTH, "reserved:health"},
    {IDENTITY_INIT, "reserved:init"},
    {IDENTITY_REMOTE_NODE, "reserved:remote-node"},
    {IDENTITY_KUBE_APISERVER, "reserved:kube-apiserver"},
};

std::shared_ptr<const Party> share(Party party, const std::shared_ptr<const Party>& old) {
  if (old && *old == party) return old;
  return std::make_shared<const Party>(std::move(party));
}

Party reserved_party(uint32_t number, const char* label, const std::string& node) {
  Party party;
  party.identity = number;
  party.node = node;
  party.labels = {label};
  return party;
}

Party pod_party(const PodIntent& pod) {
  Party party;
  party.identity = identity_hash(pod.identity);
  party.namespace_name = pod.namespace_name;
  party.pod_name = pod.name;
  party.workload_kind = pod.workload_kind;
  party.workload_name = pod.workload_name;
  party.node = pod.node;
  party.labels.reserve(pod.labels.size() + 1);
  for (const auto& [key, value] : pod.labels) party.labels.push_back("k8s:" + key + "=" + value);
  party.labels.push_back("k8s:io.kubernetes.pod.namespace=" + pod.namespace_name);
  std::sort(party.labels.begin(), party.labels.end());
  return party;
}

// An endpoint whose pod has no object (yet): what CNI said of it, under the identity that it has in
// the kernel.
Party endpoint_party(const EndpointPod& pod, const std::string& node) {
  Party party = pod.identity == IDENTITY_INIT
                    ? reserved_party(IDENTITY_INIT, "reserved:init", node)
                    : reserved_party(IDENTITY_UNMANAGED, "reserved:unmanaged", node);
  party.namespace_name = pod.namespace_name;
  party.pod_name = pod.name;
  return party;
}

// "namespace=demo;app=web" -> "demo"
std::string namespace_of(std::string_view identity) {
  constexpr std::string_view kKey = "namespace=";
  if (!identity.starts_with(kKey)) return {};
  identity.remove_prefix(kKey.size());
  return std::string(identity.substr(0, identity.find(';')));
}

}  // namespace

uint32_t identity_hash(std::string_view content) {
  uint32_t hash = 2166136261U;
  for (const char c : content) {
    hash ^= static_cast<uint8_t>(c);
    hash *= 16777619U;
  }
  return hash < IDENTITY_FIRST_LOCAL ? hash + IDENTITY_FIRST_LOCAL : hash;
}

std::shared_ptr<const Directory> Directory::build(const Desired& desired, const Directory* previous,
                                                  const PodChanges& changes) {
  auto directory = std::make_shared<Directory>();
  directory->node_name_ = desired.settings.node_name;
  directory->add_reserved();
  directory->add_nodes(desired, previous);
  if (previous == nullptr || changes.all) {
    directory->add_pods(desired, previous);
  } else {
    directory->change_pods(*previous, changes);
  }
  directory->add_endpoints(desired, previous);
  directory->add_devices(desired, previous);
  directory->add_identities(desired, previous);
  return directory;
}

void Directory::add_reserved() {
  for (const Reserved& row : kReserved) {
    by_identity_[row.number] =
        std::make_shared<const Party>(reserved_party(row.number, row.label, {}));
  }
}

void Directory::add_nodes(const Desired& desired, const Directory* previous) {
  const auto add = [&](const Address& address, const Party& party) {
    nodes_[address] = share(party, at_address(previous, address));
  };
  for (const NodeIntent& node : desired.intent.nodes) {
    const bool own = node.name == node_name_;
    const Party party =
        own ? reserved_party(IDENTITY_HOST, "reserved:host", node.name)
            : reserved_party(IDENTITY_REMOTE_NODE, "reserved:remote-node", node.name);
    for (const Address& address : node.addresses) add(address, party);
  }
  for (const Address& address : desired.host_addresses)
    add(address, reserved_party(IDENTITY_HOST, "reserved:host", node_name_));
}

void Directory::add_pods(const Desired& desired, const Directory* previous) {
  auto pods = std::make_shared<Parties>();
  // A pod on the host's network has the node's addresses: they stay the node's, as in the kernel.
  for (const PodIntent& pod : desired.intent.pods) {
    if (pod.host_network) continue;
    for (const Address& address : pod.addresses)
      (*pods)[address] = share(pod_party(pod), at_address(previous, address));
  }
  pods_ = std::move(pods);
}

void Directory::change_pods(const Directory& previous, const PodChanges& changes) {
  pods_ = previous.pods_;
  changed_pods_ = previous.changed_pods_;
  for (const auto& [address, pod] : changes.by_address) {
    changed_pods_[address] = pod ? share(pod_party(*pod), previous.at_address(address)) : nullptr;
  }
  if (changed_pods_.size() <= kChangedPodsMax) return;
  auto pods = std::make_shared<Parties>(*pods_);
  for (auto& [address, party] : changed_pods_) {
    party ? (void)((*pods)[address] = party) : (void)pods->erase(address);
  }
  pods_ = std::move(pods);
  changed_pods_.clear();
}

void Directory::add_endpoints(const Desired& desired, const Directory* previous) {
  for (const LocalEndpoint& endpoint : desired.endpoints) {
    const EndpointPod pod = pod_of(desired, endpoint);
    Party party = pod.pod != nullptr ? pod_party(*pod.pod) : endpoint_party(pod, node_name_);
    party.endpoint_id = endpoint.ifindex;
    party.node = node_name_;
    const PartyPointer old = previous == nullptr ? nullptr : previous->pod_at(endpoint.ifindex);
    pods_by_ifindex_[endpoint.ifindex] = share(party, old);
    for (const auto& address : {endpoint.ipv4, endpoint.ipv6}) {
      if (address) endpoints_[*address] = share(party, at_address(previous, *address));
    }
  }
}

void Directory::add_devices(const Desired& desired, const Directory* previous) {
  const auto add = [&](uint32_t ifindex, const std::string& name, bool overlay) {
    Device device{.ifindex = ifindex, .name = name, .overlay = overlay};
    if (previous != nullptr) {
      const auto found = previous->devices_.find(ifindex);
      if (found != previous->devices_.end() && *found->second == device) {
        devices_[ifindex] = found->second;
        return;
      }
    }
    devices_[ifindex] = std::make_shared<const Device>(std::move(device));
  };
  for (const LocalEndpoint& endpoint : desired.endpoints)
    add(endpoint.ifindex, endpoint.host_device, false);
  for (const Uplink& uplink : desired.uplinks) add(uplink.ifindex, uplink.name, false);
  if (desired.overlay_ifindex != 0) add(desired.overlay_ifindex, kOverlayDevice, true);
}

void Directory::add_identities(const Desired& desired, const Directory* previous) {
  for (const auto& [content, number] : desired.identity_numbers) {
    Party party;
    party.identity = identity_hash(content);
    party.namespace_name = namespace_of(content);
    if (!party.namespace_name.empty()) {
      party.labels = {"k8s:io.kubernetes.pod.namespace=" + party.namespace_name};
    }
    PartyPointer old;
    if (previous != nullptr) {
      const auto found = previous->by_identity_.find(number);
      if (found != previous->by_identity_.end()) old = found->second;
    }
    by_identity_[number] = share(std::move(party), old);
  }
}

Directory::PartyPointer Directory::at_address(const Address& address) const {
  if (const auto found = endpoints_.find(address); found != endpoints_.end()) return found->second;
  const auto changed = changed_pods_.find(address);
  if (changed != changed_pods_.end()) {
    if (changed->second) return changed->second;
  } else if (const auto found = pods_->find(address); found != pods_->end()) {
    return found->second;
  }
  const auto found = nodes_.find(address);
  return found == nodes_.end() ? nullptr : found->second;
}

Directory::PartyPointer Directory::at_address(const Directory* directory, const Address& address) {
  return directory == nullptr ? nullptr : directory->at_address(address);
}

std::shared_ptr<const Party> Directory::party(const Address& address,
                                              uint32_t identity_number) const {
  if (auto known = at_address(address)) return known;
  const auto by_identity = by_identity_.find(identity_number);
  if (by_identity != by_identity_.end()) return by_identity->second;
  return by_identity_.at(IDENTITY_UNKNOWN);
}

std::shared_ptr<const Party> Directory::pod_at(uint32_t ifindex) const {
  const auto found = pods_by_ifindex_.find(ifindex);
  return found == pods_by_ifindex_.end() ? nullptr : found->second;
}

std::shared_ptr<const Device> Directory::device(uint32_t ifindex) const {
  const auto found = devices_.find(ifindex);
  if (found != devices_.end()) return found->second;
  return std::make_shared<const Device>(Device{.ifindex = ifindex, .name = {}, .overlay = false});
}

}  // namespace sluice
