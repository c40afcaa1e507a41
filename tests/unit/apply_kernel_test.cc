// SPDX-License-Identifier: Apache-2.0
// agent/apply against the kernel: rows in, maps, links, devices and routes out; drift and refusals.
#include <algorithm>
#include <cstdlib>

#include "agent/apply/datapath.h"
#include "tests/unit/apply_fixture.h"

namespace sluice {
namespace {

TEST_F(ApplyTest, OpenPinsEveryMapAndTouchesNoDevice) {
  auto datapath = open();

  for (const char* name :
       {"sl_endpoint", "sl_identity", "sl_device", "sl_node", "sl_ct", "sl_nat", "sl_frag",
        "sl_verdicts", "sl_drops", "sl_drop_limit", "sl_events", "sl_event_loss"}) {
    EXPECT_TRUE(pinned(name)) << name;
  }
  EXPECT_TRUE(programs_at(pod_, BPF_TCX_INGRESS).empty());
  EXPECT_GE(datapath->reader().events_fd(), 0);
  EXPECT_TRUE(datapath->warnings().empty());
}

TEST_F(ApplyTest, MakesTheKernelHoldTheRows) {
  auto datapath = open();

  apply(*datapath, rows());

  EXPECT_EQ(datapath->reader().endpoints()->at(0).second.identity, 300U);
  EXPECT_EQ(datapath->reader().identities()->size(), 3U);
  EXPECT_EQ(datapath->reader().devices()->at(0).first, uplink_);
  EXPECT_EQ(datapath->reader().node()->policy_revision, 5U);
  EXPECT_EQ(netlink_->routes(kRouteProtocol)->size(), 2U);
  EXPECT_EQ(netlink_->link(pod_)->mtu, 1450U);
  EXPECT_EQ(*read_file("/proc/sys/net/ipv4/ip_forward"), "1\n");
  EXPECT_EQ(*read_file("/proc/sys/net/ipv6/conf/all/forwarding"), "1\n");
  EXPECT_EQ(*read_file("/proc/sys/net/ipv4/conf/sl0/rp_filter"), "0\n");
}

TEST_F(ApplyTest, ProgramsSitOnTheSideThatTheirNameSays) {
  options_.attach = "tcx";
  auto datapath = open();

  apply(*datapath, rows());

  EXPECT_EQ(program_name(programs_at(pod_, BPF_TCX_INGRESS).at(0)), "pod_egress");
  EXPECT_EQ(program_name(programs_at(pod_, BPF_TCX_EGRESS).at(0)), "pod_ingress");
  EXPECT_EQ(program_name(programs_at(uplink_, BPF_TCX_INGRESS).at(0)), "uplink_ingress");
  EXPECT_EQ(program_name(programs_at(uplink_, BPF_TCX_EGRESS).at(0)), "uplink_egress");
  EXPECT_TRUE(pinned("links/" + std::to_string(pod_) + "-ingress"));
}

TEST_F(ApplyTest, TheSameRowsAgainChangeNothing) {
  auto datapath = open();
  apply(*datapath, rows());

  const auto again = datapath->apply(rows());

  EXPECT_EQ(again.written, 0U);
  EXPECT_EQ(again.deleted, 0U);
}

TEST_F(ApplyTest, WhatIsNotWantedAnyMoreGoes) {
  auto datapath = open();
  Rows wanted = rows();
  wanted.needs_overlay = true;
  apply(*datapath, wanted);
  EXPECT_EQ(datapath->overlay_ifindex(), netlink_->link("sluice_vxlan")->ifindex);
  EXPECT_EQ(netlink_->link("sluice_vxlan")->mac, kGatewayMac);
  Rows none;
  none.config = wanted.config;

  apply(*datapath, none);

  EXPECT_TRUE(datapath->reader().endpoints()->empty());
  EXPECT_TRUE(datapath->reader().identities()->empty());
  EXPECT_TRUE(datapath->reader().devices()->empty());
  EXPECT_TRUE(programs_at(pod_, BPF_TCX_INGRESS).empty());
  EXPECT_TRUE(netlink_->routes(kRouteProtocol)->empty());
  EXPECT_FALSE(netlink_->link("sluice_vxlan"));
  EXPECT_EQ(datapath->overlay_ifindex(), 0U);
  EXPECT_TRUE(std::filesystem::is_empty(bpffs_ + "/sluice/v1/links"));
}

TEST_F(ApplyTest, OtherSettingsReplaceProgramsOnTheSameLinks) {
  auto datapath = open();
  Rows wanted = rows();
  apply(*datapath, wanted);
  const auto link = links_at(uplink_, BPF_TCX_EGRESS);
  const auto program = programs_at(uplink_, BPF_TCX_EGRESS);
  wanted.config.events = 0;

  apply(*datapath, wanted);

  EXPECT_EQ(links_at(uplink_, BPF_TCX_EGRESS), link);
  EXPECT_NE(programs_at(uplink_, BPF_TCX_EGRESS), program);
}

TEST_F(ApplyTest, AFullTableIsNamedAndTheRestStillWorks) {
  options_.endpoint_max_entries = 2;
  auto datapath = open();
  Rows wanted = rows();
  wanted.endpoints[1000].identity = 1;
  wanted.endpoints[1001].identity = 1;

  const auto report = datapath->apply(wanted);

  ASSERT_EQ(report.errors.size(), 1U);
  EXPECT_EQ(report.errors[0].error.code, ErrorCode::kExhausted);
  EXPECT_EQ(report.errors[0].ifindex, 1001U);
  EXPECT_NE(report.errors[0].error.context.find("sl_endpoint"), std::string::npos);
  EXPECT_EQ(datapath->reader().endpoints()->size(), 2U);
  EXPECT_EQ(programs_at(pod_, BPF_TCX_INGRESS).size(), 1U);

  wanted.endpoints.erase(1000);  // makes room in the same turn
  apply(*datapath, wanted);
  EXPECT_EQ(datapath->reader().endpoints()->size(), 2U);
}

TEST_F(ApplyTest, ADeviceThatIsGoneIsOneErrorAmongWhatWorks) {
  auto datapath = open();
  Rows wanted = rows();
  wanted.attachments[4242] = DeviceRole::kPod;

  const auto report = datapath->apply(wanted);

  EXPECT_EQ(report.failed, 2U);
  EXPECT_EQ(report.errors.at(0).ifindex, 4242U);
  EXPECT_EQ(programs_at(uplink_, BPF_TCX_INGRESS).size(), 1U);
}

TEST_F(ApplyTest, AuditRepairsWhatOthersBroke) {
  auto datapath = open();
  apply(*datapath, rows());
  ASSERT_EQ(bpf_map_delete_elem(pinned_map("sl_endpoint").get(), &pod_), 0);
  const uint32_t stranger = 77;
  const device_row row = {};
  ASSERT_EQ(bpf_map_update_elem(pinned_map("sl_device").get(), &stranger, &row, 0), 0);
  ASSERT_TRUE(netlink_->delete_route(netlink_->routes(kRouteProtocol)->front()));
  const Fd link(
      bpf_obj_get((bpffs_ + "/sluice/v1/links/" + std::to_string(pod_) + "-egress").c_str()));
  ASSERT_EQ(bpf_link_detach(link.get()), 0);

  const auto report = datapath->audit();

  EXPECT_TRUE(report.ok()) << report.status().error().message();
  EXPECT_EQ(report.written, 3U);
  EXPECT_EQ(report.deleted, 1U);
  EXPECT_EQ(programs_at(pod_, BPF_TCX_EGRESS).size(), 1U);
  EXPECT_EQ(datapath->audit().written, 0U);
}

TEST_F(ApplyTest, N10_APodsDeviceComesUpBehindItsProgramsAndNotWithoutThem) {
  const uint32_t ours = add_pair_down("sl1", "sluice:demo/b");
  const uint32_t blocked = add_pair_down("sl2", "sluice:demo/c");
  const uint32_t theirs = add_pair_down("up1", "");
  options_.attach = "tcx";
  auto datapath = open();
  // Its program of one side cannot be pinned.
  ASSERT_TRUE(make_directories(bpffs_ + "/sluice/v1/links/" + std::to_string(blocked) + "-egress"));
  Rows wanted = rows();
  for (const uint32_t each : {ours, blocked}) wanted.attachments[each] = DeviceRole::kPod;
  wanted.attachments[theirs] = DeviceRole::kUplink;
  wanted.routes.push_back({.destination = *parse_prefix("10.1.0.3/32"), .ifindex = ours});

  const auto report = datapath->apply(wanted);

  ASSERT_EQ(report.errors.size(), 1U) << report.status().error().message();
  EXPECT_EQ(report.errors[0].ifindex, blocked);
  EXPECT_TRUE(netlink_->link(ours)->up);
  EXPECT_EQ(netlink_->routes(kRouteProtocol)->size(), 3U);
  EXPECT_FALSE(netlink_->link(blocked)->up);
  EXPECT_FALSE(netlink_->link(theirs)->up);
}

TEST_F(ApplyTest, N10_PinsThatSomebodyRemovedComeBackAndNoProgramGoes) {
  options_.attach = "tcx";
  auto datapath = open();
  apply(*datapath, rows());
  const auto links = links_at(pod_, BPF_TCX_INGRESS);
  std::filesystem::remove_all(bpffs_ + "/sluice");

  const auto report = datapath->audit();

  EXPECT_TRUE(report.ok()) << report.status().error().message();
  EXPECT_EQ(links_at(pod_, BPF_TCX_INGRESS), links);
  EXPECT_EQ(programs_at(uplink_, BPF_TCX_EGRESS).size(), 1U);
  EXPECT_TRUE(pinned("sl_ct"));
  EXPECT_TRUE(pinned("links/" + std::to_string(uplink_) + "-egress"));
  EXPECT_EQ(datapath->audit().written, 0U);
  datapath.reset();  // the pins are the links' and the maps' own
  EXPECT_EQ(links_at(pod_, BPF_TCX_INGRESS), links);
  datapath = open();
  EXPECT_EQ(datapath->reader().endpoints()->size(), 1U);
}

TEST_F(ApplyTest, N10_WhereNothingCanBePinnedProgramsStayAndTheReportSaysSo) {
  options_.attach = "tcx";
  auto datapath = open();
  apply(*datapath, rows());
  std::filesystem::remove_all(bpffs_ + "/sluice");
  ASSERT_EQ(::mount(nullptr, bpffs_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  Rows wanted = rows();
  wanted.attachments[add_pair("up1", "")] = DeviceRole::kUplink;

  for (int turn = 0; turn < 2; turn++) {
    const auto report = turn == 0 ? datapath->apply(wanted) : datapath->audit();

    EXPECT_NE(report.status().error().message().find("pin link"), std::string::npos);
    for (const auto& [ifindex, role] : wanted.attachments)
      EXPECT_EQ(programs_at(ifindex, BPF_TCX_INGRESS).size(), 1U) << ifindex;
  }
  ASSERT_EQ(::mount(nullptr, bpffs_.c_str(), nullptr, MS_REMOUNT, nullptr), 0);
  const auto report = datapath->audit();
  EXPECT_TRUE(report.ok()) << report.status().error().message();
  EXPECT_TRUE(pinned("links/" + std::to_string(uplink_) + "-ingress"));
}

TEST_F(ApplyTest, WhatIsLostOfALinkIsNamedUntilTheAuditMendsIt) {
  options_.attach = "tcx";
  auto datapath = open();
  apply(*datapath, rows());
  EXPECT_TRUE(datapath->lost().empty());
  const std::string links = bpffs_ + "/sluice/v1/links/";
  const Fd link(bpf_obj_get((links + std::to_string(uplink_) + "-egress").c_str()));
  ASSERT_EQ(bpf_link_detach(link.get()), 0);
  ASSERT_TRUE(std::filesystem::remove(links + std::to_string(pod_) + "-ingress"));

  auto lost = datapath->lost();

  std::sort(lost.begin(), lost.end());
  std::vector<std::string> wanted = {"device " + std::to_string(uplink_) + " egress",
                                     "device " + std::to_string(pod_) + " ingress"};
  std::sort(wanted.begin(), wanted.end());
  EXPECT_EQ(lost, wanted);
  EXPECT_TRUE(datapath->audit().ok());
  EXPECT_TRUE(datapath->lost().empty());
  EXPECT_EQ(programs_at(uplink_, BPF_TCX_EGRESS).size(), 1U);
  EXPECT_TRUE(pinned("links/" + std::to_string(pod_) + "-ingress"));
  ASSERT_TRUE(netlink_->delete_link(pod_));
  EXPECT_TRUE(datapath->lost().empty()) << "its programs went with the device";
}

TEST_F(ApplyTest, WhatIsLostOfAFilterIsNamedUntilTheAuditMendsIt) {
  options_.attach = "clsact";
  auto datapath = open();
  apply(*datapath, rows());
  EXPECT_TRUE(datapath->lost().empty());
  ASSERT_EQ(::system("tc qdisc del dev up0 clsact"), 0);

  EXPECT_EQ(datapath->lost().size(), 2U);

  EXPECT_TRUE(datapath->audit().ok());
  EXPECT_TRUE(datapath->lost().empty());
  EXPECT_EQ(filters_at(uplink_).size(), 1U);
}

TEST_F(ApplyTest, AStrangersRouteIsNeitherReplacedNorDeleted) {
  RouteInfo theirs;
  theirs.destination = *parse_prefix("10.2.0.0/16");
  theirs.ifindex = uplink_;
  theirs.protocol = 4;
  ASSERT_TRUE(netlink_->add_route(theirs));
  auto datapath = open();

  const auto report = datapath->apply(rows());

  ASSERT_EQ(report.errors.size(), 1U);
  EXPECT_EQ(report.errors[0].error.code, ErrorCode::kExists);
  EXPECT_EQ(report.errors[0].object, "route 10.2.0.0/16");
  EXPECT_EQ(netlink_->routes(4)->size(), 1U);
}

TEST_F(ApplyTest, AChangedRouteIsReplaced) {
  auto datapath = open();
  Rows wanted = rows();
  apply(*datapath, wanted);
  wanted.routes[1].via = *parse_address("192.0.2.3");
  wanted.routes[0].mtu = 1400;

  apply(*datapath, wanted);

  const auto routes = *netlink_->routes(kRouteProtocol);
  ASSERT_EQ(routes.size(), 2U);
  EXPECT_EQ(routes[0].mtu + routes[1].mtu, 1400U);
}

TEST_F(ApplyTest, AStrangersDeviceOfTheOverlaysNameIsRefused) {
  add_pair("sluice_vxlan", "somebody's");
  auto datapath = open();
  Rows wanted = rows();
  wanted.needs_overlay = true;

  const auto report = datapath->apply(wanted);

  ASSERT_EQ(report.errors.size(), 1U);
  EXPECT_NE(report.errors[0].error.context.find("somebody's"), std::string::npos);
  EXPECT_TRUE(cleanup(options_));
  EXPECT_TRUE(netlink_->link("sluice_vxlan"));
}

TEST_F(ApplyTest, AnUplinkKeepsItsRouterAdvertisements) {
  ASSERT_EQ(*read_file("/proc/sys/net/ipv6/conf/up0/accept_ra"), "1\n");
  auto datapath = open();

  apply(*datapath, rows());

  EXPECT_EQ(*read_file("/proc/sys/net/ipv6/conf/up0/accept_ra"), "2\n");
  EXPECT_EQ(*read_file("/proc/sys/net/ipv6/conf/sl0/accept_ra"), "0\n");
  EXPECT_EQ(*read_file("/proc/sys/net/ipv6/conf/psl0/accept_ra"), "1\n");
}

}  // namespace
}  // namespace sluice
