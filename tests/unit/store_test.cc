// SPDX-License-Identifier: Apache-2.0
// The pods' state file: whole after a kill at any instant, moved aside where it is not, and never a
// reason not to start.
#include "agent/pods/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent/pods/endpoint_names.h"
#include "lib/fd/fd.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/store_test.XXXXXX";
    folder_ = mkdtemp(folder);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write_raw(const std::string& text) {
    std::ofstream(folder_ / "pods.json", std::ios::binary) << text;
  }

  fs::path folder_;
};

PodState sample(uint32_t endpoints) {
  PodState state;
  for (uint32_t i = 0; i < endpoints; ++i) {
    LocalEndpoint endpoint;
    endpoint.network = "sluice";
    endpoint.container_id = "c" + std::to_string(i);
    endpoint.ifname = "eth0";
    endpoint.netns = "/run/netns/" + std::to_string(i);
    endpoint.pod_namespace = "demo";
    endpoint.pod_name = "web";
    endpoint.pod_uid = "1-2";
    endpoint.host_device = host_device_name(key_of(endpoint));
    endpoint.ifindex = 10 + i;
    endpoint.ipv4 = *advance(*parse_address("10.1.0.1"), i);
    endpoint.ipv6 = *parse_address("fd00::1");
    endpoint.pod_mac = pod_mac(key_of(endpoint));
    endpoint.host_mac = kGatewayMac;
    endpoint.mtu = 1400 * (i % 2);
    endpoint.created_unix_ms = 1234567890123;
    endpoint.created_boot_ms = 4567;
    state.endpoints.push_back(endpoint);
  }
  state.freed.push_back({.address = *parse_address("10.1.0.99"), .freed_unix_ms = 77});
  return state;
}

TEST_F(StoreTest, GivesBackWhatWasSaved) {
  Store store(folder_);
  ASSERT_TRUE(store.save(sample(3)));

  const auto loaded = store.load(0);

  ASSERT_TRUE(loaded);
  EXPECT_TRUE(loaded->found);
  EXPECT_EQ(loaded->state, sample(3));
  EXPECT_EQ(loaded->condition, "");
}

TEST_F(StoreTest, FirstStartIsEmptyAndMakesTheFolder) {
  Store store(folder_ / "a" / "b");

  const auto loaded = store.load(0);

  ASSERT_TRUE(loaded);
  EXPECT_FALSE(loaded->found);
  EXPECT_TRUE(fs::is_directory(folder_ / "a" / "b"));
}

TEST_F(StoreTest, FileCutAnywhereIsMovedAsideAndNamed) {
  const std::string whole = encode_pod_state(sample(1));
  for (size_t length = 0; length + 2 < whole.size(); length += 7) {
    write_raw(whole.substr(0, length));
    Store store(folder_);

    const auto loaded = store.load(static_cast<int64_t>(length));

    ASSERT_TRUE(loaded) << length;
    EXPECT_TRUE(loaded->state.endpoints.empty()) << length;
    const std::string aside = store.path() + ".corrupt-" + std::to_string(length);
    EXPECT_THAT(loaded->condition, HasSubstr(aside));
    EXPECT_EQ(*read_file(aside), whole.substr(0, length));
    EXPECT_FALSE(fs::exists(store.path()));
  }
}

TEST_F(StoreTest, GarbageOfEveryKindIsMovedAside) {
  const std::pair<const char*, const char*> rows[] = {
      {"binary", "\x01\x02\xff\xfe"},
      {"a list", "[]"},
      {"another version", R"({"version":2,"endpoints":[],"freed":[]})"},
      {"version of another type", R"({"version":"1","endpoints":[],"freed":[]})"},
      {"no endpoints", R"({"version":1,"freed":[]})"},
      {"endpoints of another type", R"({"version":1,"endpoints":7,"freed":[]})"},
      {"endpoint without fields", R"({"version":1,"endpoints":[{}],"freed":[]})"},
      {"bad address",
       R"({"version":1,"endpoints":[],"freed":[{"address":"10.0.0.999","freedUnixMs":1}]})"},
  };
  for (const auto& [title, text] : rows) {
    write_raw(text);
    Store store(folder_);
    const auto loaded = store.load(5);
    ASSERT_TRUE(loaded) << title;
    EXPECT_NE(loaded->condition, "") << title;
    EXPECT_TRUE(store.save({})) << title;
  }
}

TEST_F(StoreTest, WrongVersionSaysWhichItReads) {
  const auto decoded = decode_pod_state(R"({"version":9,"endpoints":[],"freed":[]})");
  ASSERT_FALSE(decoded);
  EXPECT_THAT(decoded.error().message(), HasSubstr("version: 9, this agent reads 1"));
}

TEST_F(StoreTest, LeftoverOfAnInterruptedSaveIsRemovedAndIgnored) {
  Store store(folder_);
  ASSERT_TRUE(store.save(sample(2)));
  std::ofstream(folder_ / ".pods.json.Ab12Cd") << "half";

  const auto loaded = store.load(0);

  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->state, sample(2));
  EXPECT_FALSE(fs::exists(folder_ / ".pods.json.Ab12Cd"));
}

TEST_F(StoreTest, KillAtAnyInstantLeavesAWholeFile) {
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      Store store(folder_);
      for (uint32_t i = 0;; ++i) {
        if (!store.save(sample(1 + i % 40))) _exit(1);
      }
    }
    usleep(static_cast<useconds_t>(2'000 + round * 777));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));

    Store store(folder_);
    const auto loaded = store.load(0);
    ASSERT_TRUE(loaded);
    ASSERT_EQ(loaded->condition, "") << "round " << round;
    if (!loaded->found) continue;
    EXPECT_EQ(loaded->state, sample(static_cast<uint32_t>(loaded->state.endpoints.size())));
  }
}

}  // namespace
}  // namespace sluice
