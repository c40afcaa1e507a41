// SPDX-License-Identifier: Apache-2.0
#include "agent/admin/admin.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "agent/admin/decode.h"
#include "agent/admin/row_filter.h"
#include "agent/desired/pod_of.h"
#include "lib/verdict/names.h"

namespace sluice {

namespace {

using admin::v1::AdminRequest;
using admin::v1::AdminResponse;

// What several answers join with: the agent's own numbers and devices, by key.
struct Names {
  std::map<uint32_t, std::string> identities;          // number -> by content
  std::map<uint32_t, const LocalEndpoint*> endpoints;  // ifindex -> endpoint
};

std::string pod_key(const std::string& space, const std::string& name) {
  return name.empty() ? std::string() : space + "/" + name;
}

Names names_of(const Desired& desired) {
  Names names;
  for (const auto& [content, number] : desired.identity_numbers) {
    names.identities.emplace(number, content);
  }
  for (const LocalEndpoint& endpoint : desired.endpoints) {
    names.endpoints.emplace(endpoint.ifindex, &endpoint);
  }
  return names;
}

std::shared_ptr<const Desired> snapshot(const AdminSources& sources) {
  std::shared_ptr<const Desired> desired = sources.desired();
  return desired ? desired : std::make_shared<const Desired>();
}

void add_devices(const AdminSources& sources, const Desired& desired,
                 admin::v1::StatusResponse& status) {
  for (const Uplink& uplink : desired.uplinks) {
    admin::v1::Device& device = *status.add_devices();
    device.set_name(uplink.name);
    device.set_ifindex(uplink.ifindex);
    device.set_role("uplink");
    device.set_mtu(uplink.mtu);
    for (const Address& address : uplink.addresses) device.add_addresses(to_string(address));
  }
  if (desired.overlay_ifindex == 0) return;
  admin::v1::Device& overlay = *status.add_devices();
  overlay.set_name(sources.device_name(desired.overlay_ifindex));
  overlay.set_ifindex(desired.overlay_ifindex);
  overlay.set_role("overlay");
}

void add_hooks(const VerdictCounters& counters, admin::v1::StatusResponse& status) {
  for (uint8_t hook = 0; hook < HOOK_MAX; ++hook) {
    admin::v1::HookCount& count = *status.add_hooks();
    count.set_hook(hook_name(hook));
    count.set_seen(counters.at(hook).at(VERDICT_SEEN).packets);
    count.set_forwarded(counters.at(hook).at(VERDICT_FORWARDED).packets);
    count.set_redirected(counters.at(hook).at(VERDICT_REDIRECTED).packets);
    count.set_dropped(counters.at(hook).at(VERDICT_DROPPED).packets);
  }
}

void add_reports(const AdminSources& sources, admin::v1::StatusResponse& status) {
  for (const ConditionState& state : sources.conditions()) {
    admin::v1::Condition& condition = *status.add_conditions();
    condition.set_name(state.name);
    condition.set_ok(state.ok);
    condition.set_message(state.message);
    condition.set_since_unix_ms(state.since_unix_ms);
  }
  for (const PoolUse& use : sources.pools()) {
    admin::v1::AddressPool& pool = *status.add_pools();
    pool.set_cidr(to_string(use.cidr));
    pool.set_total(use.total);
    pool.set_used(use.used);
    pool.set_resting(use.resting);
  }
}

void add_facts(const AdminSources& sources, admin::v1::StatusResponse& status) {
  const AgentFacts facts = sources.facts();
  status.set_version(sources.build.version);
  status.set_commit(sources.build.commit);
  status.set_layout(sources.build.layout);
  status.set_started_unix_ms(sources.build.started_unix_ms);
  status.set_ready(facts.ready);
  status.set_applied_revision(facts.applied_revision);
  status.set_attach_mode(facts.attach_mode);
  status.set_events_lost(facts.events_lost);
  status.set_flows_seen(facts.flows_seen);
  status.set_rss_bytes(facts.rss_bytes);
}

Status fill_status(const AdminSources& sources, admin::v1::StatusResponse& status) {
  const std::shared_ptr<const Desired> desired = snapshot(sources);
  add_facts(sources, status);
  status.set_node(desired->settings.node_name);
  status.set_routing(std::string(name(desired->settings.routing)));
  status.set_endpoints(static_cast<uint32_t>(desired->endpoints.size()));
  status.set_nodes(static_cast<uint32_t>(desired->intent.nodes.size()));
  status.set_pods(static_cast<uint32_t>(desired->intent.pods.size()));
  status.set_intent_revision(desired->intent.revision);
  add_reports(sources, status);
  add_devices(sources, *desired, status);

  const Result<std::vector<TableUse>> tables = sources.tables();
  if (!tables) return fail(within("read table sizes", tables.error()));
  for (const TableUse& use : *tables) {
    admin::v1::Table& table = *status.add_tables();
    table.set_name(use.name);
    table.set_entries(use.entries);
    table.set_max_entries(use.max_entries);
    table.set_evicts(use.evicts);
  }
  const Result<VerdictCounters> verdicts = sources.verdicts();
  if (!verdicts) return fail(within("read verdict counters", verdicts.error()));
  add_hooks(*verdicts, status);
  return {};
}

// "ready", or what the kernel lacks of the endpoint. `device`: the name at its index.
std::string endpoint_state(const LocalEndpoint& endpoint, const std::string& device,
                           const std::map<uint32_t, endpoint_row>& rows) {
  if (device != endpoint.host_device) {
    const std::string gone = "device " + endpoint.host_device + " is gone";
    return device.empty() ? gone : gone + "; its index is " + device + "'s by now";
  }
  const auto found = rows.find(endpoint.ifindex);
  if (found == rows.end()) {
    return "no row in sl_endpoint for ifindex " + std::to_string(endpoint.ifindex);
  }
  const auto differs = [](const std::optional<Address>& want, const ip_addr& have) {
    return want.value_or(Address{}) != from_abi(have);
  };
  if (differs(endpoint.ipv4, found->second.ipv4)) return "sl_endpoint has another IPv4 address";
  if (differs(endpoint.ipv6, found->second.ipv6)) return "sl_endpoint has another IPv6 address";
  return "ready";
}

void fill_endpoint(const LocalEndpoint& from, admin::v1::Endpoint& to) {
  to.set_network(from.network);
  to.set_container_id(from.container_id);
  to.set_ifname(from.ifname);
  to.set_netns(from.netns);
  to.set_pod_uid(from.pod_uid);
  to.set_host_device(from.host_device);
  to.set_ifindex(from.ifindex);
  if (from.ipv4) to.set_ipv4(to_string(*from.ipv4));
  if (from.ipv6) to.set_ipv6(to_string(*from.ipv6));
  to.set_pod_mac(to_string(from.pod_mac));
  to.set_host_mac(to_string(from.host_mac));
  to.set_created_unix_ms(from.created_unix_ms);
}

Status fill_endpoints(const AdminSources& sources, admin::v1::EndpointsResponse& response) {
  const std::shared_ptr<const Desired> desired = snapshot(sources);
  const Names names = names_of(*desired);
  std::map<uint32_t, endpoint_row> rows;
  const Status read = sources.endpoints([&rows](uint32_t ifindex, const endpoint_row& row) {
    rows.emplace(ifindex, row);
    return true;
  });
  if (!read) return fail(within("read sl_endpoint", read.error()));

  for (const LocalEndpoint& local : desired->endpoints) {
    admin::v1::Endpoint& endpoint = *response.add_endpoints();
    fill_endpoint(local, endpoint);
    endpoint.set_state(endpoint_state(local, sources.device_name(local.ifindex), rows));
    if (const auto row = rows.find(local.ifindex); row != rows.end()) {
      endpoint.set_identity(row->second.identity);
      endpoint.set_identity_name(identity_name(row->second.identity, names.identities));
    }
    const EndpointPod pod = pod_of(*desired, local);
    endpoint.set_pod_namespace(pod.namespace_name);
    endpoint.set_pod_name(pod.name);
    if (pod.pod == nullptr) continue;
    for (const auto& [key, value] : pod.pod->labels) (*endpoint.mutable_labels())[key] = value;
  }
  return {};
}

Status fill_drops(const AdminSources& sources, admin::v1::DropsResponse& response) {
  const std::shared_ptr<const Desired> desired = snapshot(sources);
  const Names names = names_of(*desired);
  const Status read = sources.drops([&](const drop_key& key, const counter& count) {
    admin::v1::Drop& drop = *response.add_drops();
    drop.set_ifindex(key.ifindex);
    drop.set_device(sources.device_name(key.ifindex));
    drop.set_hook(hook_name(key.hook));
    drop.set_reason(drop_reason_name(key.reason));
    drop.set_reason_number(key.reason);
    drop.set_explanation(drop_reason_text(key.reason));
    drop.set_packets(count.packets);
    drop.set_bytes(count.bytes);
    if (const auto found = names.endpoints.find(key.ifindex); found != names.endpoints.end()) {
      const EndpointPod pod = pod_of(*desired, *found->second);
      drop.set_pod(pod_key(pod.namespace_name, pod.name));
    }
    return true;
  });
  if (!read) return fail(within("read sl_drops", read.error()));
  return {};
}

Status fill_conntrack(const AdminSources& sources, const admin::v1::ConntrackRequest& request,
                      admin::v1::ConntrackResponse& response) {
  Result<RowFilter> filter = RowFilter::make(request.filter());
  if (!filter) return fail(filter.error());
  const uint64_t now_ns = sources.monotonic_ns();
  const Status read = sources.conntrack([&](const ct_key& key, const ct_entry& entry) {
    if (!filter->matches(key)) return true;
    admin::v1::Conntrack row = decode_conntrack(key, entry, now_ns);
    if (filter->takes(row.ByteSizeLong())) *response.add_rows() = std::move(row);
    return true;
  });
  if (!read) return fail(within("read sl_ct", read.error()));
  response.set_matched(filter->matched());
  return {};
}

Status fill_translations(const AdminSources& sources, const admin::v1::TranslationsRequest& request,
                         admin::v1::TranslationsResponse& response) {
  Result<RowFilter> filter = RowFilter::make(request.filter());
  if (!filter) return fail(filter.error());
  const uint64_t now_ns = sources.monotonic_ns();
  const Status read = sources.translations([&](const nat_key& key, const nat_row& row) {
    if (!filter->matches(key, row)) return true;
    admin::v1::Translation decoded = decode_translation(key, row, now_ns);
    if (filter->takes(decoded.ByteSizeLong())) *response.add_rows() = std::move(decoded);
    return true;
  });
  if (!read) return fail(within("read sl_nat", read.error()));
  response.set_matched(filter->matched());
  return {};
}

Status fill_identities(const AdminSources& sources, const admin::v1::IdentitiesRequest& request,
                       admin::v1::IdentitiesResponse& response) {
  Result<RowFilter> filter = RowFilter::make(request.filter());
  if (!filter) return fail(filter.error());
  const std::shared_ptr<const Desired> desired = snapshot(sources);
  const Names names = names_of(*desired);
  const Status read = sources.identities([&](const identity_key& key, const identity_row& row) {
    if (!filter->matches(key)) return true;
    admin::v1::IdentityRow decoded = decode_identity(key, row, names.identities);
    if (filter->takes(decoded.ByteSizeLong())) *response.add_rows() = std::move(decoded);
    return true;
  });
  if (!read) return fail(within("read sl_identity", read.error()));
  response.set_matched(filter->matched());
  return {};
}

Status fill_datapath_endpoints(const AdminSources& sources,
                               admin::v1::DatapathEndpointsResponse& response) {
  const Status read = sources.endpoints([&response](uint32_t ifindex, const endpoint_row& row) {
    *response.add_rows() = decode_endpoint(ifindex, row);
    return true;
  });
  if (!read) return fail(within("read sl_endpoint", read.error()));
  return {};
}

Status fill(const AdminSources& sources, const AdminRequest& request, AdminResponse& response) {
  switch (request.request_case()) {
    case AdminRequest::kStatus:
      return fill_status(sources, *response.mutable_status());
    case AdminRequest::kEndpoints:
      return fill_endpoints(sources, *response.mutable_endpoints());
    case AdminRequest::kDrops:
      return fill_drops(sources, *response.mutable_drops());
    case AdminRequest::kConntrack:
      return fill_conntrack(sources, request.conntrack(), *response.mutable_conntrack());
    case AdminRequest::kTranslations:
      return fill_translations(sources, request.translations(), *response.mutable_translations());
    case AdminRequest::kIdentities:
      return fill_identities(sources, request.identities(), *response.mutable_identities());
    case AdminRequest::kDatapathEndpoints:
      return fill_datapath_endpoints(sources, *response.mutable_datapath_endpoints());
    case AdminRequest::REQUEST_NOT_SET:
      break;
  }
  return fail(ErrorCode::kUnsupported,
              "admin request: empty, or of a kind that this agent does not know (a newer sluice?)");
}

}  // namespace

AdminService::AdminService(AdminSources sources) : sources_(std::move(sources)) {}

AdminResponse AdminService::answer(const AdminRequest& request) const {
  AdminResponse response;
  const Status done = fill(sources_, request, response);
  if (!done) {
    response.Clear();  // a half answer would pass for a whole one
    response.set_error(done.error().message());
  }
  return response;
}

std::string AdminService::handle(std::string_view request) const {
  AdminRequest parsed;
  if (!parsed.ParseFromArray(request.data(), static_cast<int>(request.size()))) {
    AdminResponse response;
    response.set_error("admin request: " + std::to_string(request.size()) +
                       " bytes that are not an AdminRequest");
    return response.SerializeAsString();
  }
  return answer(parsed).SerializeAsString();
}

}  // namespace sluice
