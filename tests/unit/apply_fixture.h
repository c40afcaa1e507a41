// SPDX-License-Identifier: Apache-2.0
// For tests of agent/apply with root: a sandbox with a pod's and an uplink's device, and rows for
// them.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "agent/apply/attach.h"
#include "agent/apply/datapath.h"
#include "tests/unit/kernel_sandbox.h"

namespace sluice {

class ApplyTest : public KernelSandbox {
 protected:
  void SetUp() override {
    KernelSandbox::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    options_.bpffs = bpffs_;
    pod_ = add_pair("sl0", "sluice:demo/a");
    uplink_ = add_pair("up0", "");
    ASSERT_TRUE(netlink_->add_address(uplink_, *parse_address("192.0.2.1"), 24));
  }

  std::unique_ptr<Datapath> open() {
    auto opened = Datapath::open(options_);
    EXPECT_TRUE(opened) << opened.error().message();
    return opened ? std::move(*opened) : nullptr;
  }

  Rows rows() const {
    Rows rows;
    rows.config = {.ipv4 = 1, .ipv6 = 1, .overlay = 1, .translate = 1, .events = 1, .pad = {}};
    rows.node.policy_revision = 5;
    rows.endpoints[pod_].identity = 300;
    rows.devices[uplink_].ipv4 = to_abi(*parse_address("192.0.2.1"));
    rows.identities[*parse_prefix("10.1.0.2/32")].identity = 300;
    rows.identities[*parse_prefix("10.1.0.0/16")].identity = IDENTITY_UNMANAGED;
    rows.identities[*parse_prefix("::/0")].identity = IDENTITY_WORLD;
    rows.attachments = {{pod_, DeviceRole::kPod}, {uplink_, DeviceRole::kUplink}};
    rows.routes = {
        {.destination = *parse_prefix("10.1.0.2/32"), .ifindex = pod_, .via = {}, .source = {}},
        {.destination = *parse_prefix("10.2.0.0/16"),
         .ifindex = uplink_,
         .via = *parse_address("192.0.2.2"),
         .source = {}}};
    rows.neighbours = {
        {.ifindex = pod_, .address = *parse_address("10.1.0.2"), .mac = Mac{{2, 0, 0, 0, 0, 2}}}};
    rows.pod_mtu = 1450;
    return rows;
  }

  void apply(Datapath& datapath, const Rows& rows) {
    const auto report = datapath.apply(rows);
    EXPECT_TRUE(report.ok()) << report.status().error().message();
  }

  // The programs that packets meet at this side of the device, in order.
  std::vector<uint32_t> programs_at(uint32_t ifindex, bpf_attach_type type) const {
    std::vector<uint32_t> ids(8);
    LIBBPF_OPTS(bpf_prog_query_opts, query);
    query.prog_ids = ids.data();
    query.count = static_cast<uint32_t>(ids.size());
    if (bpf_prog_query_opts(static_cast<int>(ifindex), type, &query) != 0) return {};
    ids.resize(query.count);
    return ids;
  }

  std::vector<uint32_t> links_at(uint32_t ifindex, bpf_attach_type type) const {
    std::vector<uint32_t> ids(8);
    std::vector<uint32_t> links(8);
    LIBBPF_OPTS(bpf_prog_query_opts, query);
    query.prog_ids = ids.data();
    query.link_ids = links.data();
    query.count = static_cast<uint32_t>(ids.size());
    if (bpf_prog_query_opts(static_cast<int>(ifindex), type, &query) != 0) return {};
    links.resize(query.count);
    return links;
  }

  // Our program in the device's clsact qdisc, ingress side.
  std::vector<uint32_t> filters_at(uint32_t ifindex) const {
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(ifindex),
                .attach_point = BPF_TC_INGRESS);
    LIBBPF_OPTS(bpf_tc_opts, filter, .handle = kFilterHandle, .priority = kFilterPriority);
    if (bpf_tc_query(&hook, &filter) != 0) return {};
    return {filter.prog_id};
  }

  std::string program_name(uint32_t id) const {
    const Fd fd(bpf_prog_get_fd_by_id(id));
    bpf_prog_info info = {};
    uint32_t size = sizeof(info);
    EXPECT_EQ(bpf_prog_get_info_by_fd(fd.get(), &info, &size), 0);
    return info.name;
  }

  bool pinned(const std::string& name) const {
    return std::filesystem::exists(bpffs_ + "/sluice/v1/" + name);
  }

  Fd pinned_map(const std::string& name) const {
    return Fd(bpf_obj_get((bpffs_ + "/sluice/v1/" + name).c_str()));
  }

  DatapathOptions options_;
  uint32_t pod_ = 0;
  uint32_t uplink_ = 0;
};

}  // namespace sluice
