// SPDX-License-Identifier: Apache-2.0
// MTUs and routes in pods, and what else may be in a pod's tables, as pods_netns_test.cc does it.
// Needs root.
#include "tests/unit/pods_netns_fixture.h"

namespace sluice {
namespace {

using testing::HasSubstr;

TEST_F(PodsNetns, MtuOfPodsFollows) {
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);

  EXPECT_THAT(service_->set_pod_mtu(9000, 8950), testing::IsEmpty());

  EXPECT_EQ(pod.netlink().link("eth0")->mtu, 9000U);
  EXPECT_EQ(run("CHECK", "c1", pod.path()).exit_code, 0);
}

TEST_F(PodsNetns, RoutesThatThePodMadeItsOwnAreLeftAloneByARestart) {
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);
  pod.exec(
      "ip link add dum0 type veth peer name dum1; ip link set dum1 up; ip addr add 10.99.0.1/24 "
      "dev dum0;"
      "ip addr add fd99::1/64 dev dum0 nodad; ip link set dum0 up;"
      "ip route replace default via 10.99.0.254 dev dum0; ip -6 route del default;"
      "ip -6 route append default via fd99::fe dev dum0 metric 1024");
  const std::string before = pod.exec("ip route; ip -6 route");
  stop_agent();

  start_agent();
  EXPECT_THAT(service_->set_pod_mtu(1400, 1350), testing::IsEmpty());

  EXPECT_EQ(pod.exec("ip route; ip -6 route"), before);
  PodNetns bare;
  ASSERT_EQ(run("ADD", "c2", bare.path()).exit_code, 0);
  bare.exec("ip route del default; ip -6 route append default via fe80::2 dev eth0 metric 1024");
  EXPECT_THAT(service_->set_pod_mtu(1300, 1250), testing::IsEmpty());
  EXPECT_EQ(bare.exec("ip route show default"), "") << "a route that was removed came back";
  EXPECT_THAT(bare.exec("ip -6 route"), HasSubstr("via fe80::2"));
}

TEST_F(PodsNetns, MtuOfTheNetworkConfigurationHoldsForBothEndsAndTheRoutes) {
  PodNetns pod;
  const std::string more = R"(, "mtu": 1300)";
  const Answer answer = run("ADD", "c1", pod.path(), more);
  ASSERT_EQ(answer.exit_code, 0) << answer.output;
  const auto host_mtu = [&] {
    auto host = Netlink::open();
    return host->link(service_->endpoints()[0].host_device)->mtu;
  };

  EXPECT_EQ(answer.output["interfaces"][0]["mtu"], 1300);
  EXPECT_EQ(answer.output["interfaces"][1]["mtu"], 1300);
  EXPECT_EQ(answer.output["routes"][0]["mtu"], 1300);
  EXPECT_EQ(answer.output["routes"][1]["mtu"], 1300);
  EXPECT_EQ(run("CHECK", "c1", pod.path(), more).exit_code, 0);
  stop_agent();
  start_agent();
  EXPECT_THAT(service_->set_pod_mtu(9000, 8950), testing::IsEmpty());
  ASSERT_EQ(service_->endpoints().size(), 1U);
  EXPECT_EQ(service_->endpoints()[0].mtu, 1300U);
  EXPECT_EQ(host_mtu(), 1300U);
  EXPECT_EQ(pod.netlink().link("eth0")->mtu, 1300U);
  const Answer check = run("CHECK", "c1", pod.path(), more);
  EXPECT_EQ(check.exit_code, 0) << check.output;
  EXPECT_THAT(service_->set_pod_mtu(1280, 1280), testing::IsEmpty());
  EXPECT_EQ(host_mtu(), 1280U);
  EXPECT_EQ(pod.netlink().link("eth0")->mtu, 1280U);
  EXPECT_EQ(run("CHECK", "c1", pod.path(), more).exit_code, 0);
}

TEST_F(PodsNetns, SecondInterfaceTakesNothingFromTheFirst) {
  PodNetns pod;
  const Answer first = run("ADD", "c1", pod.path());
  ASSERT_EQ(first.exit_code, 0);
  const auto ways = [&] {
    return pod.exec(
        "ip route get 192.0.2.1 | grep -o \"dev [a-z0-9]*\";"
        "ip -6 route get 2001:db8::1 | grep -o \"dev [a-z0-9]*\"");
  };

  const Answer second = run("ADD", "c1", pod.path(), "", "", "net1");

  ASSERT_EQ(second.exit_code, 0) << second.output;
  EXPECT_EQ(second.output["routes"], nlohmann::json::array());
  EXPECT_EQ(ways(), "dev eth0\ndev eth0\n");
  EXPECT_EQ(run("CHECK", "c1", pod.path()).exit_code, 0);
  const Answer check = run("CHECK", "c1", pod.path(), "", "", "net1");
  EXPECT_EQ(check.exit_code, 0) << check.output;
  EXPECT_THAT(service_->set_pod_mtu(1400, 1350), testing::IsEmpty());
  EXPECT_EQ(run("CHECK", "c1", pod.path(), "", "", "net1").exit_code, 0);
  ASSERT_EQ(run("DEL", "c1", pod.path(), "", "", "net1").exit_code, 0);
  EXPECT_EQ(ways(), "dev eth0\ndev eth0\n");
  EXPECT_EQ(run("CHECK", "c1", pod.path()).exit_code, 0);
}

TEST_F(PodsNetns, SecondInterfaceLeadsOutWhenTheFirstIsGone) {
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);
  ASSERT_EQ(run("ADD", "c1", pod.path(), "", "", "net1").exit_code, 0);

  ASSERT_EQ(run("DEL", "c1", pod.path()).exit_code, 0);

  EXPECT_THAT(pod.exec("ip route get 192.0.2.1; ip -6 route get 2001:db8::1"),
              testing::ContainsRegex("dev net1.*dev net1"));
  EXPECT_EQ(run("CHECK", "c1", pod.path(), "", "", "net1").exit_code, 0);
}

TEST_F(PodsNetns, RoutesMtuFollowsInBothFamilies) {
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);

  EXPECT_THAT(service_->set_pod_mtu(1500, 1430), testing::IsEmpty());

  EXPECT_THAT(pod.exec("ip route show default"), HasSubstr("mtu 1430"));
  EXPECT_THAT(pod.exec("ip -6 route show default"), HasSubstr("mtu 1430"));
  EXPECT_EQ(run("CHECK", "c1", pod.path()).exit_code, 0);
}

}  // namespace
}  // namespace sluice
