// SPDX-License-Identifier: Apache-2.0
// For tests of agent/pods with root: the real service behind its socket, and the real sluice-cni as
// a runtime runs it, in namespaces made here.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
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
  nlohmann::json output;
};

class FakeProbe : public EndpointProbe {
 public:
  std::vector<std::string> problems(const LocalEndpoint&) override { return found; }
  std::vector<std::string> found;
};

class PodsNetns : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // The host's side of every test is a namespace of its own, too, and so are its mounts.
    if (geteuid() == 0 && unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) abort();
    if (geteuid() == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) abort();
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
    std::filesystem::remove_all(folder_);
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
    settings.spare_queue_dir = folder_ / "cni-queue";
    settings.address_rest = rest_;
    settings.apply_deadline = std::chrono::milliseconds(300);
    settings.leak_interval = leak_interval_;
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
  // Anew, with the clock and the rest that the test has set.
  void restart_with_one_address() {
    stop_agent();
    start_agent();
    service_->set_pod_cidrs(std::vector<Prefix>{*parse_prefix("10.9.1.1/32")});
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
        if (!service_) return;
        bring_devices_up();
        service_->applied(revision, failed_);
      });
    return revision_;
  }
  // What apply does once the programs are on them.
  void bring_devices_up() {
    auto host = Netlink::open();
    for (const LocalEndpoint& endpoint : service_->endpoints()) {
      if (!host->link(endpoint.ifindex)) continue;
      EXPECT_TRUE(host->set_link_up(endpoint.ifindex));
    }
  }

  // Runs the plugin in another thread while the loop serves it here.
  Answer run(const std::string& command, const std::string& container, const std::string& netns,
             const std::string& more = {}, const std::string& args = {},
             const std::string& ifname = "eth0") {
    const std::filesystem::path input = folder_ / "stdin.json";
    const std::filesystem::path output = folder_ / "stdout.json";
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
    return {
        .exit_code = WEXITSTATUS(exit_code.get()),
        .output = text.empty() ? nlohmann::json() : nlohmann::json::parse(text, nullptr, false)};
  }
  // Nobody asks for anything; timers run.
  void turn_for(std::chrono::milliseconds time) {
    loop_.restart();
    loop_.run_for(time);
  }
  std::string ipv4_of(const Answer& answer) {
    return answer.output.value(nlohmann::json::json_pointer("/ips/0/address"), "none");
  }
  size_t devices() {
    size_t count = 0;
    auto host = Netlink::open();
    const auto links = host->links();
    for (const LinkInfo& link : *links) count += link.name.starts_with("sl") ? 1 : 0;
    return count;
  }

  std::filesystem::path folder_;
  asio::io_context loop_;
  std::unique_ptr<PodService> service_;
  std::unique_ptr<SocketServer> server_;
  RestoreReport report_;
  uint64_t revision_ = 0;
  bool apply_ = true;
  std::function<int64_t()> clock_;
  std::chrono::milliseconds rest_ = kAddressRest;
  std::chrono::milliseconds leak_interval_{30'000};
  std::map<uint32_t, std::string> failed_;
  std::optional<std::string> not_ready_;
  std::vector<std::string> uids_;
  FakeProbe probe_;
};

}  // namespace sluice
