// SPDX-License-Identifier: Apache-2.0
// Inside apply: the node's VXLAN device.
#include "agent/apply/host.h"
#include "bpf/abi/limits.h"

namespace sluice {

void record(ApplyReport& report, std::string object, uint32_t ifindex, Error error) {
  report.failed++;
  report.errors.push_back(
      {.object = std::move(object), .ifindex = ifindex, .error = std::move(error)});
}

void record(ApplyReport& report, std::string object, uint32_t ifindex, const Status& status) {
  if (!status) record(report, std::move(object), ifindex, status.error());
}

Status Overlay::create(uint32_t mtu) {
  VxlanSpec spec;
  spec.udp_port = TUNNEL_PORT;
  spec.name = std::string(kOverlayDevice);
  spec.mtu = mtu;
  spec.mac = kGatewayMac;
  if (auto made = netlink_.add_vxlan(spec); !made) return made;
  auto link = netlink_.link(spec.name);
  if (!link) return fail(link.error());
  if (auto named = netlink_.set_link_alias(link->ifindex, std::string(kOverlayAlias)); !named) {
    (void)netlink_.delete_link(link->ifindex);  // unnamed it would never be recognised as ours
    return named;
  }
  return {};
}

void Overlay::ensure(uint32_t mtu, ApplyReport& report) {
  const std::string name(kOverlayDevice);
  const std::string object = "device " + name;
  auto link = netlink_.link(name);
  if (!link && link.error().code == ErrorCode::kNotFound) {
    ifindex_ = 0;
    if (auto made = create(mtu); !made) return record(report, object, 0, made);
    report.written++;
    link = netlink_.link(name);
  }
  if (!link) return record(report, object, 0, link.error());
  if (link->alias != kOverlayAlias || link->kind != "vxlan") {
    return record(report, object, 0,
                  Error{.code = ErrorCode::kExists,
                        .context = object + ": is a " + link->kind + " with alias \"" +
                                   link->alias + "\", not ours: rename or delete it"});
  }
  if (mtu != 0 && link->mtu != mtu) {
    auto set = netlink_.set_link_mtu(link->ifindex, mtu);
    if (set) report.written++;
    record(report, object, link->ifindex, set);
  }
  if (!link->up) {
    auto up = netlink_.set_link_up(link->ifindex);
    if (up) report.written++;
    record(report, object, link->ifindex, up);
  }
  ifindex_ = link->ifindex;
}

void Overlay::adopt() {
  const auto link = netlink_.link(std::string(kOverlayDevice));
  const bool ours = link && link->alias == kOverlayAlias && link->kind == "vxlan";
  ifindex_ = ours ? link->ifindex : 0;
}

void Overlay::remove(ApplyReport& report) {
  const std::string name(kOverlayDevice);
  ifindex_ = 0;
  auto link = netlink_.link(name);
  if (!link || link->alias != kOverlayAlias) return;
  auto gone = netlink_.delete_link(link->ifindex);
  if (gone) report.deleted++;
  if (!gone && gone.error().code != ErrorCode::kNotFound) {
    record(report, "device " + name, link->ifindex, gone);
  }
}

}  // namespace sluice
