// SPDX-License-Identifier: Apache-2.0
// For tests with root: a network namespace and a bpffs of the test's own, gone with the process.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "lib/fd/fd.h"
#include "lib/netlink/netlink.h"

namespace sluice {

class KernelSandbox : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_EQ(::unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    std::string pattern = "/tmp/sluice_test_XXXXXX";
    bpffs_ = ::mkdtemp(pattern.data());
    ASSERT_EQ(::mount("bpf", bpffs_.c_str(), "bpf", 0, nullptr), 0);
    netns_ = Fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    netlink_.emplace(std::move(*Netlink::open()));
  }

  void TearDown() override {
    netlink_.reset();
    if (bpffs_.empty()) return;
    ::umount2(bpffs_.c_str(), MNT_DETACH);
    ::rmdir(bpffs_.c_str());
  }

  // A pair whose both ends are here and up; the ifindex of `name`, its peer is "p" + name.
  uint32_t add_pair(const std::string& name, const std::string& alias) {
    const uint32_t ifindex = add_pair_down(name, alias);
    EXPECT_TRUE(netlink_->set_link_up(ifindex));
    return ifindex;
  }

  // The same, but `name` itself is down.
  uint32_t add_pair_down(const std::string& name, const std::string& alias) {
    const VethEnd host{.name = name, .mac = Mac{{2, 0, 0, 0, 0, 1}}, .mtu = 1500};
    const VethEnd peer{.name = "p" + name, .mac = Mac{{2, 0, 0, 0, 0, 2}}, .mtu = 1500};
    const auto made = netlink_->add_veth(host, peer, netns_.get(), alias);
    EXPECT_TRUE(made) << made.error().message();
    const auto link = netlink_->link(name);
    EXPECT_TRUE(link);
    EXPECT_TRUE(netlink_->set_link_up(netlink_->link("p" + name)->ifindex));
    return link->ifindex;
  }

  std::string bpffs_;
  Fd netns_;
  std::optional<Netlink> netlink_;
};

}  // namespace sluice
