// SPDX-License-Identifier: Apache-2.0
// `sluice check`: the host and other CNIs, read from a folder that stands for them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "cli/check/check.h"

namespace sluice::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class HostFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "sluice-check-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    places_.proc = root_ / "proc";
    places_.sys_net = root_ / "net";
    places_.cni_conf = root_ / "cni";
    fs::create_directories(places_.sys_net);
    write("proc/self/status", "CapEff:\t000001ffffffffff\n");
    write("proc/self/mounts", "none /sys/fs/bpf bpf rw 0 0\ncg /sys/fs/cgroup cgroup2 rw 0 0\n");
    write("proc/sys/net/ipv4/ip_forward", "1\n");
    write("proc/sys/net/ipv6/conf/all/forwarding", "1\n");
    write("proc/sys/net/ipv4/conf/all/rp_filter", "0\n");
    write("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
    write("proc/sys/net/ipv4/ip_local_reserved_ports", "\n");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  void device(const std::string& name) { fs::create_directory(places_.sys_net + "/" + name); }

  static const CheckResult& named(const std::vector<CheckResult>& results,
                                  const std::string& name) {
    static const CheckResult kNone{.area = "", .name = "none", .level = Level::kOk, .found = ""};
    const auto found = std::find_if(results.begin(), results.end(),
                                    [&name](const CheckResult& r) { return r.name == name; });
    EXPECT_NE(found, results.end()) << name;
    return found == results.end() ? kNone : *found;
  }

  fs::path root_;
  CheckPlaces places_;
};

TEST_F(HostFolder, AGoodHostIsAllOk) {
  for (const auto& results : {check_host(places_), check_conflicts(places_)}) {
    for (const CheckResult& result : results) {
      EXPECT_EQ(result.level, Level::kOk) << result.name << ": " << result.found;
    }
  }
}

TEST_F(HostFolder, WhatIsMissingIsSaidWithTheNextStep) {
  write("proc/self/status", "CapEff:\t0000000000000000\n");
  write("proc/self/mounts", "none /sys/fs/bpf tmpfs rw 0 0\n");
  write("proc/sys/net/ipv4/ip_forward", "0\n");
  write("proc/sys/net/ipv4/conf/all/rp_filter", "1\n");

  const auto results = check_host(places_);

  EXPECT_EQ(named(results, "capabilities").level, Level::kFail);
  EXPECT_THAT(named(results, "capabilities").found, HasSubstr("CAP_BPF"));
  EXPECT_EQ(named(results, "bpffs").level, Level::kFail);
  EXPECT_THAT(named(results, "bpffs").next_step, HasSubstr("mount -t bpf"));
  EXPECT_EQ(named(results, "cgroup2").level, Level::kWarn);
  EXPECT_EQ(named(results, "net.ipv4.ip_forward").level, Level::kWarn);
  EXPECT_EQ(named(results, "net.ipv4.conf.all.rp_filter").level, Level::kWarn);
}

TEST_F(HostFolder, SharedSourcePortsAreCountedUnlessReserved) {
  write("proc/sys/net/ipv4/ip_local_port_range", "29990 60999\n");
  EXPECT_THAT(named(check_host(places_), "source ports").found, HasSubstr("share 10 ports"));

  write("proc/sys/net/ipv4/ip_local_reserved_ports", "29990-29998,29999\n");
  EXPECT_EQ(named(check_host(places_), "source ports").level, Level::kOk);
}

TEST_F(HostFolder, AListBeforeOursFailsAndOneAfterItWarns) {
  write("cni/05-sluice.conflist", "{}");
  write("cni/README", "no list");
  write("cni/00-multi.conflist", R"({"plugins":[{"type":"sluice-cni"}]})");
  EXPECT_EQ(named(check_conflicts(places_), "CNI configuration").level, Level::kOk);

  write("cni/10-calico.conflist", "{}");
  EXPECT_EQ(named(check_conflicts(places_), "CNI configuration").level, Level::kWarn);

  write("cni/02-flannel.conf", "{}");
  const auto results = check_conflicts(places_);
  EXPECT_EQ(results.at(0).level, Level::kFail);
  EXPECT_THAT(results.at(0).found, HasSubstr("02-flannel.conf sorts before"));
  EXPECT_EQ(results.at(1).level, Level::kWarn);
}

TEST_F(HostFolder, DevicesOfOthersAreNamedWithTheirOwner) {
  for (const char* name : {"eth0", "cali1", "cali2", "cali3", "cali4", "flannel.1"}) device(name);

  const auto results = check_conflicts(places_);

  EXPECT_EQ(results.at(1).found, "cali1, cali2, cali3 and 1 more of Calico");
  EXPECT_EQ(results.at(2).found, "flannel.1 of Flannel");
  EXPECT_EQ(results.at(1).level, Level::kWarn);
}

TEST_F(HostFolder, TheOverlayPortIsOursOrTaken) {
  const std::string title = "  sl  local_address rem_address   st ...\n";
  const std::string line = " 1: 00000000:2118 00000000:0000 07 0:0 0:0 0 0 0 ";
  write("proc/net/udp", title + line + "4711 2 0 0\n");
  EXPECT_EQ(named(check_conflicts(places_), "UDP 8472").level, Level::kFail);
  EXPECT_THAT(named(check_conflicts(places_), "UDP 8472").found, HasSubstr("tunnel device"));

  device("sluice_vxlan");
  EXPECT_EQ(named(check_conflicts(places_), "UDP 8472").level, Level::kOk);

  std::filesystem::create_directories(places_.proc + "/77/fd");
  std::filesystem::create_symlink("socket:[4711]", places_.proc + "/77/fd/3");
  EXPECT_THAT(named(check_conflicts(places_), "UDP 8472").found, HasSubstr("a process"));
}

TEST_F(HostFolder, UplinksAreTheDevicesOfDefaultRoutes) {
  write("proc/net/route",
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU\n"
        "eth0 00000000 0100000A 0003 0 0 0 00000000 0 0 0\n"
        "eth1 0000000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n");
  const std::string zero(32, '0');
  write("proc/net/ipv6_route", zero + " 00 " + zero + " 00 " + zero +
                                   " 00000400 1 0 00000003 eth2\n" + zero + " 00 " + zero + " 00 " +
                                   zero + " ffffffff 1 0 00200200 lo\n");

  EXPECT_THAT(default_route_devices(places_), ElementsAre("eth0", "eth2"));
}

}  // namespace
}  // namespace sluice::cli
