// SPDX-License-Identifier: Apache-2.0
// CNI as a runtime uses it: the real sluice-cni against the real service, in network namespaces
// made here. Needs root.
#include "tests/unit/pods_netns_fixture.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST_F(PodsNetns, AddMakesThePodsNetwork) {
  PodNetns pod;

  const Answer answer =
      run("ADD", "c1", pod.path(), "", "K8S_POD_NAMESPACE=demo;K8S_POD_NAME=web;K8S_POD_UID=u1");

  ASSERT_EQ(answer.exit_code, 0) << answer.output;
  EXPECT_EQ(answer.output["cniVersion"], "1.1.0");
  EXPECT_EQ(ipv4_of(answer), "10.9.0.1/32");
  EXPECT_EQ(answer.output["ips"][1]["address"], "fd09::1/128");
  EXPECT_EQ(answer.output["routes"][0]["mtu"], 1450);
  const auto endpoints = service_->endpoints();
  ASSERT_EQ(endpoints.size(), 1U);
  EXPECT_EQ(endpoints[0].pod_name, "web");
  auto host = Netlink::open();
  const auto outer = host->link(endpoints[0].host_device);
  ASSERT_TRUE(outer);
  EXPECT_TRUE(outer->up);
  EXPECT_EQ(outer->mac, kGatewayMac);
  EXPECT_EQ(parse_endpoint_alias(outer->alias)->pod_name, "web");
  Netlink inside = pod.netlink();
  EXPECT_TRUE(inside.link("lo")->up);
  EXPECT_TRUE(inside.link("eth0")->running);
  const Answer check = run("CHECK", "c1", pod.path(), R"(, "prevResult": )" + answer.output.dump());
  EXPECT_EQ(check.exit_code, 0) << check.output;
}

TEST_F(PodsNetns, N10_TheHostsEndStaysDownForApplyToBringUp) {
  PodNetns pod;
  const auto netns = open_netns(pod.path());
  auto host = Netlink::open();
  LocalEndpoint endpoint;
  endpoint.network = "net";
  endpoint.container_id = "c1";
  endpoint.ifname = "eth0";
  endpoint.host_device = host_device_name(key_of(endpoint));
  endpoint.ipv4 = *parse_address("10.9.0.1");
  endpoint.ipv6 = *parse_address("fd09::1");
  endpoint.pod_mac = pod_mac(key_of(endpoint));
  endpoint.host_mac = kGatewayMac;

  const auto made = create_pod_link(*host, endpoint, *netns, {.device = 1500, .route = 1450}, {});

  ASSERT_TRUE(made) << made.error().message();
  EXPECT_FALSE(host->link(*made)->up);
  Netlink inside = pod.netlink();
  EXPECT_TRUE(inside.link("eth0")->up);
  EXPECT_FALSE(inside.link("eth0")->running);
  ASSERT_TRUE(host->set_link_up(*made));
  EXPECT_TRUE(inside.link("eth0")->running);
  for (const AddressInfo& each : *inside.addresses()) EXPECT_FALSE(each.tentative);
}

TEST_F(PodsNetns, DelIsIdempotentAlsoWithoutNamespace) {
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);

  EXPECT_EQ(run("DEL", "c1", "").exit_code, 0);

  EXPECT_EQ(devices(), 0U);
  EXPECT_EQ(run("DEL", "c1", pod.path()).exit_code, 0);
  EXPECT_EQ(run("DEL", "never", "/run/netns/gone").exit_code, 0);
  EXPECT_TRUE(service_->endpoints().empty());
}

TEST_F(PodsNetns, SameContainerTwiceKeepsItsAddress) {
  PodNetns pod;
  const Answer first = run("ADD", "c1", pod.path());

  const Answer second = run("ADD", "c1", pod.path());

  EXPECT_EQ(second.exit_code, 0) << second.output;
  EXPECT_EQ(second.output, first.output);
  EXPECT_EQ(service_->pools()[0].used, 1U);
}

TEST_F(PodsNetns, SameContainerInAnotherNamespaceReplacesTheFirst) {
  PodNetns before;
  PodNetns after;
  ASSERT_EQ(run("ADD", "c1", before.path()).exit_code, 0);

  const Answer second = run("ADD", "c1", after.path());

  EXPECT_EQ(second.exit_code, 0) << second.output;
  EXPECT_EQ(devices(), 1U);
  EXPECT_FALSE(before.netlink().link("eth0"));
  EXPECT_TRUE(after.netlink().link("eth0"));
  EXPECT_EQ(service_->pools()[0].used, 1U);
}

TEST_F(PodsNetns, DamagedPodIsRebuiltByASecondAdd) {
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);
  Netlink inside = pod.netlink();
  ASSERT_TRUE(inside.delete_address(inside.link("eth0")->ifindex, *parse_address("10.9.0.1"), 32));

  EXPECT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);

  EXPECT_EQ(run("CHECK", "c1", pod.path()).exit_code, 0);
  EXPECT_EQ(service_->pools()[0].used, 1U);
}

TEST_F(PodsNetns, NamespaceOfAnotherContainerIsRefusedNamingBoth) {
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);

  const Answer answer = run("ADD", "c2", pod.path());

  EXPECT_EQ(answer.output["code"], 101);
  EXPECT_THAT(answer.output["msg"],
              testing::AllOf(HasSubstr("container c1"), HasSubstr("container c2")));
  EXPECT_EQ(run("CHECK", "c1", pod.path()).exit_code, 0) << "the first one is untouched";
  EXPECT_EQ(service_->pools()[0].used, 1U);
}

TEST_F(PodsNetns, NoNamespaceAndTheHostsOwnAreRefused) {
  const std::string file = (folder_ / "file").string();
  std::ofstream(file) << "x";
  for (const std::string& path :
       {std::string("/run/netns/absent"), file, std::string("/proc/self/ns/uts"),
        "/proc/" + std::to_string(getpid()) + "/ns/net"}) {
    const Answer answer = run("ADD", "c1", path);
    EXPECT_EQ(answer.output["code"], 4) << path;
    EXPECT_THAT(answer.output["msg"], HasSubstr("CNI_NETNS")) << path;
  }
  EXPECT_EQ(service_->pools()[0].used, 0U);
}

TEST_F(PodsNetns, ExhaustedRangeIsAClearErrorAndCounted) {
  std::vector<PodNetns> pods(7);
  for (size_t i = 0; i < 6; ++i)
    ASSERT_EQ(run("ADD", "c" + std::to_string(i), pods[i].path()).exit_code, 0);

  const Answer answer = run("ADD", "c6", pods[6].path());

  EXPECT_EQ(answer.output["code"], 100);
  EXPECT_THAT(answer.output["msg"], HasSubstr("10.9.0.0/29: 6 total, 6 used, 0 resting"));
  EXPECT_EQ(service_->exhausted_total(), 1U);
  EXPECT_EQ(devices(), 6U);
  EXPECT_EQ(service_->pools()[1].used, 6U) << "no IPv6 address leaked";
}

TEST_F(PodsNetns, CheckListsEveryProblem) {
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);
  Netlink inside = pod.netlink();
  const uint32_t ifindex = inside.link("eth0")->ifindex;
  ASSERT_TRUE(inside.delete_address(ifindex, *parse_address("10.9.0.1"), 32));
  ASSERT_TRUE(inside.set_link_mtu(ifindex, 9000));
  probe_.found = {"program pod_egress is not attached"};

  const Answer answer = run("CHECK", "c1", pod.path());

  EXPECT_EQ(answer.output["code"], 102);
  EXPECT_THAT(
      answer.output["details"],
      testing::AllOf(HasSubstr("address 10.9.0.1/32 is missing"), HasSubstr("MTU 9000"),
                     HasSubstr("pod_egress"), HasSubstr("route 0.0.0.0/0 via 169.254.1.1")));
  EXPECT_EQ(run("CHECK", "other", pod.path()).output["code"], 3);
}

TEST_F(PodsNetns, AddressesRestWhateverHappensToTheWallClock) {
  int64_t wall_ms = 1'700'000'000'000;
  clock_ = [&] { return wall_ms; };
  restart_with_one_address();
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);
  ASSERT_EQ(run("DEL", "c1", pod.path()).exit_code, 0);

  wall_ms += 3'600'000;

  EXPECT_EQ(run("ADD", "c1", pod.path()).output["code"], 100) << "its rest was cancelled";
  EXPECT_EQ(service_->pools()[0].resting, 1U);
}

TEST_F(PodsNetns, WallClockThatIsSetBackDoesNotExhaustThePool) {
  int64_t wall_ms = 1'700'000'000'000;
  clock_ = [&] { return wall_ms; };
  rest_ = std::chrono::milliseconds(100);
  restart_with_one_address();
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);
  ASSERT_EQ(run("DEL", "c1", pod.path()).exit_code, 0);

  wall_ms -= 3'600'000;
  usleep(100'000);

  EXPECT_EQ(ipv4_of(run("ADD", "c1", pod.path())), "10.9.1.1/32");
}

TEST_F(PodsNetns, GcFreesOnlyWhatIsNotListedOfItsNetwork) {
  PodNetns a;
  PodNetns b;
  ASSERT_EQ(run("ADD", "c1", a.path()).exit_code, 0);
  ASSERT_EQ(run("ADD", "c2", b.path()).exit_code, 0);
  ASSERT_EQ(run("ADD", "c2", b.path(), "", "", "net1").exit_code, 0);

  EXPECT_EQ(run("GC", "", "",
                R"(, "cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "net1"}])")
                .exit_code,
            0);

  const auto left = service_->endpoints();
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].container_id + left[0].ifname, "c2net1");
  EXPECT_EQ(devices(), 1U);
}

TEST_F(PodsNetns, AddIsUndoneWhereTheKernelDoesNotGetTheRows) {
  PodNetns pod;
  apply_ = false;

  const Answer answer = run("ADD", "c1", pod.path());

  EXPECT_EQ(answer.output["code"], 11);
  EXPECT_THAT(answer.output["msg"], HasSubstr("300 ms"));
  EXPECT_EQ(devices(), 0U);
  EXPECT_TRUE(service_->endpoints().empty());
}

TEST_F(PodsNetns, NotReadyIsRetryableForAddAndNotAvailableForStatus) {
  PodNetns pod;
  EXPECT_EQ(run("STATUS", "", "").exit_code, 0);
  not_ready_ = "no intent yet";
  EXPECT_EQ(run("ADD", "c1", pod.path()).output["code"], 11);
  EXPECT_EQ(run("STATUS", "", "").output["code"], 50);
}

TEST_F(PodsNetns, UidOfAnotherPodIsRefused) {
  PodNetns pod;
  const std::string args = "K8S_POD_NAMESPACE=demo;K8S_POD_NAME=web;K8S_POD_UID=";
  uids_ = {"u2"};
  EXPECT_EQ(run("ADD", "c1", pod.path(), "", args + "u1").output["code"], 11);
  ASSERT_EQ(run("ADD", "c1", pod.path(), "", args + "u2").exit_code, 0);

  const Answer answer = run("DEL", "c1", pod.path(), "", args + "u1");

  EXPECT_EQ(answer.output["code"], 4);
  EXPECT_EQ(service_->endpoints().size(), 1U);
}

TEST_F(PodsNetns, RestartKeepsPodsAndReleasesTheGone) {
  PodNetns stays;
  PodNetns goes;
  const Answer before = run("ADD", "c1", stays.path());
  ASSERT_EQ(run("ADD", "c2", goes.path()).exit_code, 0);
  stop_agent();
  auto host = Netlink::open();
  ASSERT_TRUE(host->delete_link(host->link(host_device_name({"net", "c2", "eth0"}))->ifindex));

  start_agent();

  EXPECT_EQ(report_.restored, 1U);
  EXPECT_EQ(report_.released, 1U);
  EXPECT_EQ(run("CHECK", "c1", stays.path()).exit_code, 0);
  EXPECT_EQ(run("ADD", "c1", stays.path()).output, before.output);
}

TEST_F(PodsNetns, CorruptStateIsRebuiltFromTheDevices) {
  PodNetns pod;
  const Answer before = run("ADD", "c1", pod.path(), "", "K8S_POD_NAMESPACE=demo;K8S_POD_NAME=web");
  stop_agent();
  std::ofstream(folder_ / "state" / "pods.json") << "{\"version\":";

  start_agent();

  EXPECT_EQ(report_.adopted, 1U);
  EXPECT_THAT(service_->conditions(), testing::ElementsAre(HasSubstr("pods.json.corrupt-")));
  ASSERT_EQ(service_->endpoints().size(), 1U);
  EXPECT_EQ(service_->endpoints()[0].pod_name, "web");
  EXPECT_EQ(run("ADD", "c1", pod.path()).output, before.output);
}

TEST_F(PodsNetns, QueuedDelIsReplayedAtStart) {
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);
  stop_agent();
  ASSERT_EQ(run("DEL", "c1", pod.path()).exit_code, 0);
  std::ofstream(folder_ / "queue" / "1-1-x.del") << "garbage";
  EXPECT_EQ(devices(), 1U);

  start_agent();

  EXPECT_EQ(devices(), 0U);
  EXPECT_EQ(service_->counters().queue_replayed, 1U);
  EXPECT_EQ(service_->queue_corrupt_total(), 1U);
  EXPECT_TRUE(fs::exists(folder_ / "queue" / "1-1-x.del.corrupt"));
}

TEST_F(PodsNetns, LeakIsReleasedWhenTheNamespaceIsGone) {
  PodNetns pod;
  ASSERT_EQ(run("ADD", "c1", pod.path()).exit_code, 0);
  service_->release_leaks();
  EXPECT_EQ(service_->endpoints().size(), 1U) << "alive";
  pod.end();
  for (int i = 0; i < 500 && devices() != 0; ++i)
    usleep(10'000);  // the kernel clears namespaces in the background

  service_->release_leaks();

  EXPECT_TRUE(service_->endpoints().empty());
  EXPECT_EQ(service_->counters().leaks_released, 1U);
}

TEST_F(PodsNetns, SecondAgentOnTheSocketIsRefused) {
  SocketServerSettings socket;
  socket.path = folder_ / "agent.sock";
  const auto second = SocketServer::listen(loop_, socket, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kExists);
  EXPECT_EQ(run("STATUS", "", "").exit_code, 0);
}

}  // namespace
}  // namespace sluice
