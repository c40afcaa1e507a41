// SPDX-License-Identifier: Apache-2.0
// agent/apply over restarts: adoption, other layouts and sizes, cleanup.
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>

#include "agent/apply/attach.h"
#include "agent/apply/node_lock.h"
#include "tests/unit/apply_fixture.h"

namespace sluice {
namespace {

TEST_F(ApplyTest, ANewProcessAdoptsLinksAndUpdatesThemInPlace) {
  options_.attach = "tcx";
  auto datapath = open();
  apply(*datapath, rows());
  const auto link = links_at(pod_, BPF_TCX_INGRESS);
  const auto program = programs_at(pod_, BPF_TCX_INGRESS);
  datapath.reset();
  EXPECT_EQ(programs_at(pod_, BPF_TCX_INGRESS), program);  // nobody is there, packets are served

  datapath = open();
  EXPECT_EQ(programs_at(pod_, BPF_TCX_INGRESS), program);
  const auto report = datapath->apply(rows());

  EXPECT_TRUE(report.ok());
  EXPECT_EQ(links_at(pod_, BPF_TCX_INGRESS), link);
  ASSERT_EQ(programs_at(pod_, BPF_TCX_INGRESS).size(), 1U);
  EXPECT_NE(programs_at(pod_, BPF_TCX_INGRESS), program);
  EXPECT_EQ(report.written, 8U);  // four programs loaded, four links updated, nothing else
  EXPECT_EQ(report.deleted, 0U);
}

TEST_F(ApplyTest, KilledInTheMiddleOfWorkItLeavesAWorkingNode) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto datapath = Datapath::open(options_);
    if (datapath && (*datapath)->apply(rows()).ok()) ::raise(SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(programs_at(pod_, BPF_TCX_INGRESS).size(), 1U);

  auto datapath = open();
  apply(*datapath, rows());

  EXPECT_EQ(programs_at(pod_, BPF_TCX_INGRESS).size(), 1U);
  EXPECT_EQ(datapath->reader().identities()->size(), 3U);
}

// A kill between the programs and the device's start leaves it down.
TEST_F(ApplyTest, N10_ANewProcessBringsUpWhatItFindsDown) {
  const uint32_t late = add_pair_down("sl1", "sluice:demo/b");
  Rows wanted = rows();
  wanted.attachments[late] = DeviceRole::kPod;
  auto datapath = open();
  apply(*datapath, wanted);
  ASSERT_EQ(::system("ip link set sl1 down"), 0);
  datapath.reset();

  datapath = open();
  EXPECT_FALSE(netlink_->link(late)->up);
  apply(*datapath, wanted);

  EXPECT_TRUE(netlink_->link(late)->up);
}

TEST_F(ApplyTest, TheNodesLockIsOneAlsoWhenItsFolderIsMadeAnew) {
  auto first = NodeLock::take(bpffs_);
  ASSERT_TRUE(first) << first.error().message();

  const auto second = NodeLock::take(bpffs_);

  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kExists);
  const std::string pid = "(pid " + std::to_string(::getpid()) + ")";
  EXPECT_NE(second.error().message().find(pid), std::string::npos) << second.error().message();
  std::filesystem::remove_all(bpffs_ + "/sluice");
  ASSERT_TRUE(first->keep());
  EXPECT_FALSE(NodeLock::take(bpffs_));
  {
    const NodeLock ended = std::move(*first);
  }
  EXPECT_TRUE(NodeLock::take(bpffs_));
}

TEST_F(ApplyTest, PinsOfADeletedDeviceAreRemoved) {
  auto datapath = open();
  apply(*datapath, rows());
  datapath.reset();
  ASSERT_TRUE(netlink_->delete_link(pod_));
  Rows wanted = rows();
  wanted.attachments.erase(pod_);
  wanted.routes.erase(wanted.routes.begin());
  wanted.neighbours.clear();

  datapath = open();
  apply(*datapath, wanted);

  EXPECT_FALSE(pinned("links/" + std::to_string(pod_) + "-ingress"));
  EXPECT_TRUE(pinned("links/" + std::to_string(uplink_) + "-ingress"));
}

TEST_F(ApplyTest, AMapOfAnotherShapeIsRefusedByName) {
  ASSERT_TRUE(make_directories(bpffs_ + "/sluice/v1"));
  const Fd map(bpf_map_create(BPF_MAP_TYPE_HASH, "sl_ct", 40, 64, 100, nullptr));
  ASSERT_EQ(bpf_obj_pin(map.get(), (bpffs_ + "/sluice/v1/sl_ct").c_str()), 0);

  const auto opened = Datapath::open(options_);

  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kExists);
  const std::string wanted = "value " + std::to_string(sizeof(ct_entry));
  for (const std::string& part :
       {std::string("sl_ct"), std::string("value 64"), wanted, std::string("cleanup")}) {
    EXPECT_NE(opened.error().context.find(part), std::string::npos) << opened.error().context;
  }
}

TEST_F(ApplyTest, AMapOfAnotherSizeIsAdoptedWithAWarning) {
  options_.ct_max_entries = 1000;
  open().reset();
  options_.ct_max_entries = 2000;

  auto datapath = open();

  ASSERT_EQ(datapath->warnings().size(), 1U);
  EXPECT_NE(datapath->warnings()[0].find("sl_ct"), std::string::npos);
  const auto sizes = *datapath->reader().table_sizes();
  const auto ct =
      std::find_if(sizes.begin(), sizes.end(), [](auto& size) { return size.name == "sl_ct"; });
  ASSERT_NE(ct, sizes.end());
  EXPECT_EQ(ct->max_entries, 1000U);
}

TEST_F(ApplyTest, PinsOfAnotherLayoutAreRefused) {
  ASSERT_TRUE(make_directories(bpffs_ + "/sluice/v999"));

  const auto opened = Datapath::open(options_);

  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().context.find("v999"), std::string::npos);
  EXPECT_TRUE(cleanup(options_));
  EXPECT_NE(open(), nullptr);
}

TEST_F(ApplyTest, WithoutABpffsItSaysHowToMountOne) {
  options_.bpffs = "/tmp";

  const auto opened = Datapath::open(options_);

  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().context.find("mount -t bpf bpf /tmp"), std::string::npos);
}

TEST_F(ApplyTest, ClsactServesWhereTcxDoesNotAndIsAdopted) {
  options_.attach = "clsact";
  auto datapath = open();
  EXPECT_EQ(datapath->attach_mode(), "clsact");
  apply(*datapath, rows());
  HostMemory memory;
  ClsactAttacher seen(*netlink_, memory);
  ASSERT_TRUE(seen.refresh());
  EXPECT_EQ(seen.slots().size(), 4U);
  EXPECT_EQ(datapath->apply(rows()).written, 0U);

  datapath.reset();
  datapath = open();
  apply(*datapath, rows());
  ASSERT_TRUE(seen.refresh());
  EXPECT_EQ(seen.slots().size(), 4U);

  options_.attach = "tcx";  // the kernel was upgraded
  datapath = open();
  apply(*datapath, rows());
  ASSERT_TRUE(seen.refresh());
  EXPECT_TRUE(seen.slots().empty());
  EXPECT_EQ(programs_at(pod_, BPF_TCX_INGRESS).size(), 1U);
}

TEST_F(ApplyTest, CleanupRemovesOursTwiceAndNothingElse) {
  RouteInfo theirs;
  theirs.destination = *parse_prefix("10.9.0.0/16");
  theirs.ifindex = uplink_;
  theirs.protocol = 4;
  ASSERT_TRUE(netlink_->add_route(theirs));
  ASSERT_TRUE(make_directories(bpffs_ + "/other"));
  auto datapath = open();
  Rows wanted = rows();
  wanted.needs_overlay = true;
  apply(*datapath, wanted);
  datapath.reset();
  // What a kill between a pair's creation and its naming leaves, and somebody's device like it.
  const VethEnd nameless{.name = "sl0123456789ab", .mac = kGatewayMac, .mtu = 1500};
  const VethEnd theirs_too{.name = "slave0", .mac = kGatewayMac, .mtu = 1500};
  for (const VethEnd& end : {nameless, theirs_too}) {
    const VethEnd peer{.name = "p" + end.name, .mac = Mac{{2, 0, 0, 0, 0, 2}}, .mtu = 1500};
    ASSERT_TRUE(netlink_->add_veth(end, peer, netns_.get(), ""));
  }

  for (int turn = 0; turn < 2; turn++) {
    const auto cleaned = cleanup(options_);
    ASSERT_TRUE(cleaned) << cleaned.error().message();
  }

  EXPECT_FALSE(std::filesystem::exists(bpffs_ + "/sluice"));
  EXPECT_TRUE(std::filesystem::exists(bpffs_ + "/other"));
  EXPECT_TRUE(netlink_->routes(kRouteProtocol)->empty());
  EXPECT_EQ(netlink_->routes(4)->size(), 1U);
  EXPECT_FALSE(netlink_->link("sluice_vxlan"));
  EXPECT_FALSE(netlink_->link("sl0"));
  EXPECT_FALSE(netlink_->link("sl0123456789ab"));
  EXPECT_TRUE(netlink_->link("slave0"));
  EXPECT_TRUE(netlink_->link("up0"));
  EXPECT_TRUE(programs_at(uplink_, BPF_TCX_INGRESS).empty());
}

TEST_F(ApplyTest, CleanupPutsBackTheSettingsOfTheNode) {
  options_.state_dir = bpffs_ + ".state";
  ASSERT_TRUE(make_directories(options_.state_dir));
  const auto sysctl = [](const std::string& path) { return *read_file("/proc/sys/net/" + path); };
  const std::string forwarding = sysctl("ipv6/conf/all/forwarding");
  ASSERT_EQ(sysctl("ipv4/ip_forward"), "0\n");
  auto datapath = open();
  apply(*datapath, rows());
  ASSERT_EQ(sysctl("ipv4/ip_forward"), "1\n");
  datapath.reset();
  datapath = open();  // a second agent finds its own values and still knows the ones before
  apply(*datapath, rows());
  datapath.reset();
  std::ofstream("/proc/sys/net/ipv6/conf/up0/accept_ra") << "0";  // somebody's later choice

  ASSERT_TRUE(cleanup(options_));

  EXPECT_EQ(sysctl("ipv4/ip_forward"), "0\n");
  EXPECT_EQ(sysctl("ipv6/conf/all/forwarding"), forwarding);
  EXPECT_EQ(sysctl("ipv6/conf/up0/accept_ra"), "0\n");
  std::filesystem::remove_all(options_.state_dir);
}

TEST_F(ApplyTest, CleanupRemovesOurEmptyQdiscAndNoOther) {
  options_.state_dir = bpffs_ + ".state";
  ASSERT_TRUE(make_directories(options_.state_dir));
  options_.attach = "clsact";
  const uint32_t theirs = add_pair("up1", "");
  const uint32_t shared = add_pair("up2", "");
  const auto make_qdisc = [](uint32_t ifindex) {
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(ifindex),
                .attach_point = BPF_TC_INGRESS);
    return bpf_tc_hook_create(&hook);
  };
  ASSERT_EQ(make_qdisc(theirs), 0);
  Rows wanted = rows();
  wanted.attachments[theirs] = DeviceRole::kUplink;
  wanted.attachments[shared] = DeviceRole::kUplink;
  auto datapath = open();
  apply(*datapath, wanted);
  datapath.reset();
  const Fd program(bpf_prog_get_fd_by_id(filters_at(shared).at(0)));
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(shared),
              .attach_point = BPF_TC_EGRESS);
  LIBBPF_OPTS(bpf_tc_opts, filter, .prog_fd = program.get(), .handle = 7, .priority = 7);
  ASSERT_EQ(bpf_tc_attach(&hook, &filter), 0);

  ASSERT_TRUE(cleanup(options_));

  EXPECT_EQ(make_qdisc(uplink_), 0) << "ours was left there";
  EXPECT_EQ(make_qdisc(theirs), -EEXIST) << "theirs was taken away";
  EXPECT_EQ(make_qdisc(shared), -EEXIST);
  EXPECT_TRUE(*netlink_->has_clsact_filters(shared));
  EXPECT_FALSE(*netlink_->has_clsact_filters(theirs));
  std::filesystem::remove_all(options_.state_dir);
}

}  // namespace
}  // namespace sluice
