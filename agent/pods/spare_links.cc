// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/spare_links.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdio>

#include "agent/pods/endpoint_names.h"

namespace sluice {

namespace {

// Never a name that anybody looks at: the pod's own comes with the pod.
constexpr Mac kPeerMac{{0x02, 0x53, 0x4c, 0x00, 0x00, 0x02}};
constexpr int kNameTries = 64;

// The form of every pod device's name; no hash has eight leading zeros by accident and both ends.
std::string spare_name(uint64_t number) {
  char name[16];
  std::snprintf(name, sizeof(name), "sl%012llx", static_cast<unsigned long long>(number & 0xffff));
  return name;
}

}  // namespace

bool SpareLinks::refresh(Netlink& host, std::span<const LinkInfo> links) {
  std::vector<SpareLink> found;
  for (const LinkInfo& link : links) {
    if (link.alias != kSpareAlias) continue;
    const auto peer = std::ranges::find(links, link.peer_ifindex, &LinkInfo::ifindex);
    const bool whole = peer != links.end() && peer->mac == kPeerMac && !link.up;
    if (whole && found.size() < wanted_) {
      found.push_back({.ifindex = link.ifindex, .peer_ifindex = link.peer_ifindex});
    } else {
      (void)host.delete_link(link.ifindex);  // tried again with the next look
    }
  }
  std::ranges::sort(found, {}, &SpareLink::ifindex);
  const bool changed = found != links_;
  links_ = std::move(found);
  return changed;
}

Status SpareLinks::make_one(Netlink& host, uint32_t mtu) {
  const Fd own(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!own.valid()) return fail(from_errno("open the own network namespace"));
  VethEnd outer{.name = {}, .mac = kGatewayMac, .mtu = mtu};
  VethEnd inner{.name = {}, .mac = kPeerMac, .mtu = mtu};
  Status made;
  for (int tries = 0; tries < kNameTries; ++tries) {
    outer.name = spare_name(2 * made_);
    inner.name = spare_name(2 * made_ + 1);
    ++made_;
    made = host.add_veth(outer, inner, own.get(), std::string(kSpareAlias));
    if (made || made.error().code != ErrorCode::kExists) break;
  }
  if (!made) return fail(within("make a spare device", made.error()));
  const auto link = host.link(outer.name);
  if (!link) return fail(within("make a spare device", link.error()));
  links_.push_back({.ifindex = link->ifindex, .peer_ifindex = link->peer_ifindex});
  std::ranges::sort(links_, {}, &SpareLink::ifindex);
  return {};
}

std::optional<SpareLink> SpareLinks::take() {
  if (links_.empty()) return std::nullopt;
  const SpareLink taken = links_.front();
  links_.erase(links_.begin());
  return taken;
}

std::vector<uint32_t> SpareLinks::ifindexes() const {
  std::vector<uint32_t> all;
  for (const SpareLink& link : links_) all.push_back(link.ifindex);
  return all;
}

}  // namespace sluice
