// SPDX-License-Identifier: Apache-2.0
// agent/pods without the kernel: names and aliases, what is installed, and clients that misbehave.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "agent/pods/endpoint_names.h"
#include "agent/pods/installer.h"
#include "agent/pods/socket_server.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

LocalEndpoint sample() {
  LocalEndpoint endpoint;
  endpoint.network = "sluice";
  endpoint.container_id = std::string(64, 'a');
  endpoint.ifname = "eth0";
  endpoint.pod_namespace = "demo";
  endpoint.pod_name = "web-0";
  endpoint.pod_uid = "2b6b3a3e-0000-1111-2222-333344445555";
  endpoint.ipv4 = *parse_address("10.1.0.2");
  endpoint.ipv6 = *parse_address("fd00::2");
  endpoint.host_device = host_device_name(key_of(endpoint));
  endpoint.pod_mac = pod_mac(key_of(endpoint));
  endpoint.host_mac = kGatewayMac;
  return endpoint;
}

TEST(EndpointNames, AliasGivesBackTheEndpoint) {
  const auto alias = endpoint_alias(sample());
  ASSERT_TRUE(alias);
  EXPECT_LE(alias->size(), kAliasMaxBytes);
  EXPECT_EQ(parse_endpoint_alias(*alias), sample());
}

TEST(EndpointNames, AliasTellsTheMtuThatWasAskedFor) {
  LocalEndpoint endpoint = sample();
  endpoint.mtu = 1300;
  EXPECT_EQ(parse_endpoint_alias(*endpoint_alias(endpoint)), endpoint);
}

TEST(EndpointNames, LongPodNameIsLeftOutRatherThanCut) {
  LocalEndpoint endpoint = sample();
  endpoint.pod_name = std::string(200, 'p');
  const auto parsed = parse_endpoint_alias(*endpoint_alias(endpoint));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->pod_name, "");
  EXPECT_EQ(parsed->ipv6, endpoint.ipv6);
  endpoint.network = std::string(200, 'n');
  EXPECT_FALSE(endpoint_alias(endpoint));
}

TEST(EndpointNames, AliasOfSomebodyElseOrCutIsRefused) {
  for (const char* alias :
       {"", "cali", "sluice:", "sluice:c=a;i=eth0", "sluice:c=a;i=eth0;n=x;4=banana",
        "sluice overlay", "sluice:c=a;i=eth0;n=x;4=fd00::1", "sluice:c=a;;"}) {
    EXPECT_FALSE(parse_endpoint_alias(alias)) << alias;
  }
}

TEST(EndpointNames, DeviceNameFitsTheKernelAndDependsOnEveryPart) {
  const EndpointKey key{"net", "c1", "eth0"};
  EXPECT_THAT(host_device_name(key), testing::MatchesRegex("sl[0-9a-f]+"));
  EXPECT_EQ(host_device_name(key).size(), 14U);
  EXPECT_NE(host_device_name(key), host_device_name({"net", "c1", "net1"}));
  EXPECT_NE(host_device_name(key), host_device_name({"net", "c2", "eth0"}));
  EXPECT_NE(host_device_name(key), host_device_name({"netc", "1", "eth0"}));
  EXPECT_EQ(pod_mac(key).bytes[0] & 3, 2) << "local, one station";
}

TEST(EndpointNames, LinkLocalFollowsRfc4291) {
  EXPECT_EQ(to_string(link_local(Mac{{0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}})),
            "fe80::3656:78ff:fe9a:bcde");
}

class PodsFolder : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/pods_unit.XXXXXX";
    folder_ = mkdtemp(folder);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST_F(PodsFolder, InstallPutsBothAndTouchesNothingTwice) {
  std::ofstream(folder_ / "sluice-cni") << "binary";
  const InstallSettings settings{.binary = folder_ / "sluice-cni",
                                 .bin_dir = folder_ / "bin",
                                 .conf_dir = folder_ / "conf",
                                 .network = "sluice",
                                 .socket = "/run/x.sock",
                                 .queue_dir = {}};
  ASSERT_TRUE(install_cni(settings));
  const fs::path list = folder_ / "conf" / "05-sluice.conflist";
  struct stat first{};
  ASSERT_EQ(stat(list.c_str(), &first), 0);
  ASSERT_TRUE(install_cni(settings));
  struct stat second{};
  ASSERT_EQ(stat(list.c_str(), &second), 0);

  EXPECT_EQ(first.st_ino, second.st_ino);
  struct stat binary{};
  ASSERT_EQ(stat((folder_ / "bin" / "sluice-cni").c_str(), &binary), 0);
  EXPECT_EQ(binary.st_mode & 0777, 0755U);
  const auto content = nlohmann::json::parse(std::ifstream(list));
  EXPECT_EQ(content["cniVersion"], "1.0.0");
  EXPECT_EQ(content["cniVersions"], (std::vector<std::string>{"0.4.0", "1.0.0", "1.1.0"}));
  EXPECT_EQ(content["plugins"][0]["type"], "sluice-cni");
  EXPECT_EQ(content["plugins"][0]["socket"], "/run/x.sock");
  ASSERT_TRUE(uninstall_cni(settings));
  ASSERT_TRUE(uninstall_cni(settings));
  EXPECT_FALSE(fs::exists(list));
}

TEST_F(PodsFolder, InstallWithoutABinaryNamesItAndPutsNoList) {
  const InstallSettings settings{.binary = folder_ / "absent",
                                 .bin_dir = folder_ / "bin",
                                 .conf_dir = folder_ / "conf",
                                 .network = "sluice",
                                 .socket = {},
                                 .queue_dir = {}};
  const Status installed = install_cni(settings);
  ASSERT_FALSE(installed);
  EXPECT_THAT(installed.error().message(), testing::HasSubstr((folder_ / "absent").string()));
  EXPECT_FALSE(fs::exists(folder_ / "conf"));
}

class SocketServerTest : public PodsFolder {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "the server takes root's clients only";
    PodsFolder::SetUp();
    serve(milliseconds(60'000));
  }
  void serve(milliseconds request_deadline) {
    SocketServerSettings settings;
    settings.path = folder_ / "agent.sock";
    settings.request_max_bytes = 1000;
    settings.clients_max = 2;
    settings.request_deadline = request_deadline;
    server_.reset();
    auto server = SocketServer::listen(
        loop_, settings,
        {{kServiceCni, [](const std::string& message, auto reply) { reply("re: " + message); }}});
    ASSERT_TRUE(server) << server.error().message();
    server_ = std::move(*server);
  }
  Fd connect_client() {
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (folder_ / "agent.sock").c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  // Turns the loop until the server hung up; everything that it said before. One handler at a time:
  // what is counted must be so at the moment when the client can see the end.
  std::string rest_of(const Fd& client) {
    std::string all;
    for (int turn = 0; turn < 1000; ++turn) {
      loop_.restart();
      loop_.run_one_for(milliseconds(2));
      char buffer[4096];
      const ssize_t got = recv(client.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
      if (got == 0) return all;
      if (got > 0) all.append(buffer, static_cast<size_t>(got));
    }
    ADD_FAILURE() << "the server kept the client";
    return all;
  }
  void say(const Fd& client, const std::string& text) {
    EXPECT_EQ(send(client.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }

  asio::io_context loop_;
  std::unique_ptr<SocketServer> server_;
};

TEST_F(SocketServerTest, AnswersAndIsForRootOnly) {
  struct stat socket_file{};
  ASSERT_EQ(stat((folder_ / "agent.sock").c_str(), &socket_file), 0);
  EXPECT_EQ(socket_file.st_mode & 0777, 0600U);
  const Fd client = connect_client();
  say(client, encode_frame(kServiceCni, "hi"));
  EXPECT_EQ(rest_of(client), encode_frame(kServiceCni, "re: hi"));
}

TEST_F(SocketServerTest, StalledClientIsClosedAndCounted) {
  serve(milliseconds(100));
  const Fd client = connect_client();
  say(client, encode_frame(kServiceCni, "hi").substr(0, 5));
  EXPECT_EQ(rest_of(client), "");
  EXPECT_EQ(server_->counters().stalled, 1U);
  EXPECT_EQ(server_->counters().active, 0U);
}

TEST_F(SocketServerTest, TooLongFrameAndGarbageAreClosedAndCounted) {
  const Fd too_long = connect_client();
  say(too_long, std::string("\0\0\x10\0\1", 5));
  EXPECT_EQ(rest_of(too_long), "");
  const Fd garbage = connect_client();
  say(garbage, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(rest_of(garbage), "");
  EXPECT_EQ(server_->counters().bad_frames, 2U);
}

TEST_F(SocketServerTest, UnknownServiceIsClosedAndCounted) {
  const Fd client = connect_client();
  say(client, encode_frame(9, "hi"));
  EXPECT_EQ(rest_of(client), "");
  EXPECT_EQ(server_->counters().unknown_service, 1U);
}

TEST_F(SocketServerTest, OneClientTooManyIsClosedAndTheOthersAreServed) {
  const Fd first = connect_client();
  const Fd second = connect_client();
  const Fd third = connect_client();
  EXPECT_EQ(rest_of(third), "");
  EXPECT_EQ(server_->counters().refused_full, 1U);
}

TEST_F(SocketServerTest, StaleSocketIsReplacedAFileIsNot) {
  server_.reset();
  const fs::path stale = folder_ / "stale.sock";
  {
    const Fd dead(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, stale.c_str(), sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  SocketServerSettings settings;
  settings.path = stale;
  EXPECT_TRUE(SocketServer::listen(loop_, settings, {}));
  settings.path = folder_ / "file";
  std::ofstream(settings.path) << "precious";
  EXPECT_EQ(SocketServer::listen(loop_, settings, {}).error().code, ErrorCode::kExists);
  EXPECT_TRUE(fs::exists(settings.path));
}

}  // namespace
}  // namespace sluice
