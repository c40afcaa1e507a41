// SPDX-License-Identifier: Apache-2.0
// CNI as a runtime uses it: the real sluice-cni against the real service, in network namespaces
// made here. Needs root.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asio/post.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>

#include "agent/pods/endpoint_names.h"
#include "agent/pods/pod_service.h"
#include "agent/pods/socket_server.h"
#include "lib/frame/frame.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

// A process that holds a network namespace of its own until it is destroyed.
class PodNetns {
 public:
  PodNetns() {
    int ready[2];
    if (pipe(ready) != 0) abort();
    pid_ = fork();
    if (pid_ == 0) {
      const char done = unshare(CLONE_NEWNET) == 0 ? 'y' : 'n';
      if (write(ready[1], &done, 1) != 1) _exit(1);
      pause();
      _exit(0);
    }
    char done = 'n';
    EXPECT_EQ(read(ready[0], &done, 1), 1);
    EXPECT_EQ(done, 'y');
    close(ready[0]);
    close(ready[1]);
  }
  ~PodNetns() { end(); }
  void end() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  std::string path() const { return "/proc/" + std::to_string(pid_) + "/ns/net"; }
  Netlink netlink() const {
    return std::move(*Netlink::open_in(Fd(open(path().c_str(), O_RDONLY | O_CLOEXEC)).get()));
  }
  // Runs the shell commands inside; their output.
  std::string exec(const std::string& commands) const {
    const std::string shell = "nsenter --net=" + path() + " sh -ec '" + commands + "' 2>&1";
    FILE* pipe = popen(shell.c_str(), "re");
    std::string output;
    char buffer[4096];
    while (const size_t got = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, got);
    EXPECT_EQ(pclose(pipe), 0) << output;
    return output;
  }

 private:
  pid_t pid_ = 0;
};

struct Answer {
  int exit_code = -1;
  json output;
};

class FakeProbe : public EndpointProbe {
 public:
  std::vector<std::string> problems(const LocalEndpoint&) override { return found; }
  std::vector<std::string> found;
};

class PodsNetns : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // The host's side of every test is a namespace of its own, too.
    if (geteuid() == 0 && unshare(CLONE_NEWNET) != 0) abort();
  }
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    char folder[] = "/tmp/pods_test.XXXXXX";
    folder_ = mkdtemp(folder);
    start_agent();
  }
  void TearDown() override {
    stop_agent();
    auto host = Netlink::open();
    const auto links = host->links();
    for (const LinkInfo& link : *links) {
      if (!link.name.starts_with("sl")) continue;
      const Status removed = host->delete_link(link.ifindex);  // its namespace may just be ending
      EXPECT_TRUE(removed || removed.error().code == ErrorCode::kNotFound);
    }
    fs::remove_all(folder_);
  }

  void start_agent() {
    PodHooks hooks{.on_endpoints_changed = [this] { return publish(); },
                   .not_ready = [this] { return not_ready_; },
                   .pod_uids = [this](const std::string&, const std::string&) { return uids_; },
                   .now_unix_ms = clock_,
                   .probe = &probe_};
    PodSettings settings;
    settings.node_name = "n1";
    settings.state_dir = folder_ / "state";
    settings.queue_dir = folder_ / "queue";
    settings.address_rest = rest_;
    settings.apply_deadline = std::chrono::milliseconds(300);
    service_ = std::make_unique<PodService>(loop_, settings, std::move(hooks));
    const auto report = service_->start();
    ASSERT_TRUE(report) << report.error().message();
    report_ = *report;
    const std::vector<Prefix> ranges{*parse_prefix("10.9.0.0/29"), *parse_prefix("fd09::/64")};
    service_->set_pod_cidrs(ranges);
    service_->set_pod_mtu(1500, 1450);
    SocketServerSettings socket;
    socket.path = folder_ / "agent.sock";
    auto server = SocketServer::listen(
        loop_, socket, {{kServiceCni, [this](const std::string& message, auto reply) {
                           cni::v1::CniRequest request;
                           ASSERT_TRUE(request.ParseFromString(message));
                           service_->handle(request, [reply](const cni::v1::CniResponse& response) {
                             reply(response.SerializeAsString());
                           });
                         }}});
    ASSERT_TRUE(server) << server.error().message();
    server_ = std::move(*server);
  }
  void stop_agent() {
    server_.reset();
    service_.reset();
    loop_.restart();
    loop_.poll();
  }
  uint64_t publish() {
    ++revision_;
    if (apply_)
      asio::post(loop_, [this, revision = revision_] {
        if (service_) service_->applied(revision, failed_);
      });
    return revision_;
  }

  // Runs the plugin in another thread while the loop serves it here.
  Answer run(const std::string& command, const std::string& container, const std::string& netns,
             const std::string& more = {}, const std::string& args = {},
             const std::string& ifname = "eth0") {
    const fs::path input = folder_ / "stdin.json";
    const fs::path output = folder_ / "stdout.json";
    std::ofstream(input)
        << R"({"cniVersion": "1.1.0", "name": "net", "type": "sluice-cni", "socket": ")"
        << (folder_ / "agent.sock").string() << R"(", "queueDir": ")"
        << (folder_ / "queue").string() << "\"" << more << "}";
    const std::string shell = "CNI_COMMAND=" + command + " CNI_CONTAINERID=" + container +
                              " CNI_NETNS=" + netns + " CNI_IFNAME=" + ifname + " CNI_ARGS='" +
                              args + "' " SLUICE_CNI_BINARY " <" + input.string() + " >" +
                              output.string();
    auto exit_code = std::async(std::launch::async, [&] { return system(shell.c_str()); });
    while (exit_code.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      loop_.restart();
      loop_.run_for(std::chrono::milliseconds(1));
    }
    std::ifstream stream(output);
    const std::string text((std::istreambuf_iterator<char>(stream)), {});
    return {.exit_code = WEXITSTATUS(exit_code.get()),
            .output = text.empty() ? json() : json::parse(text, nullptr, false)};
  }
  std::string ipv4_of(const Answer& answer) {
    return answer.output.value("/ips/0/address"_json_pointer, "none");
  }
  size_t devices() {
    size_t count = 0;
    auto host = Netlink::open();
    const auto links = host->links();
    for (const LinkInfo& link : *links) count += link.name.starts_with("sl") ? 1 : 0;
    return count;
  }

  fs::path folder_;
  asio::io_context loop_;
  std::unique_ptr<PodService> service_;
  std::unique_ptr<SocketServer> server_;
  RestoreReport report_;
  uint64_t revision_ = 0;
  bool apply_ = true;
  std::function<int64_t()> clock_;
  std::chrono::milliseconds rest_ = kAddressRest;
  std::map<uint32_t, std::string> failed_;
  std::optional<std::string> not_ready_;
  std::vector<std::string> uids_;
  FakeProbe probe_;
};

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
  stop_agent();
  start_agent();
  service_->set_pod_cidrs(std::vector<Prefix>{*parse_prefix("10.9.1.1/32")});
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
  stop_agent();
  start_agent();
  service_->set_pod_cidrs(std::vector<Prefix>{*parse_prefix("10.9.1.1/32")});
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
  EXPECT_EQ(second.output["routes"], json::array());
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
