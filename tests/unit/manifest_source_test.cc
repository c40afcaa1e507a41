// SPDX-License-Identifier: Apache-2.0
// A folder of manifests as it changes under the agent: what is seen, and what a broken file leaves
// standing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "operator/source/manifests/source.h"
#include "tests/unit/manifest_samples.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A real folder and a real loop; `until` runs the loop until the last state satisfies a condition,
// at most 2 s.
class ManifestSourceTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sluice-manifests-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    folder_ = root_ + "/objects";
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override {
    source_.reset();
    std::filesystem::remove_all(root_);
  }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  void open() {
    auto source =
        ManifestSource::open(loop_, folder_, [this](const auto& changes, const auto& problems) {
          follow(changes, objects_);
          changes_ = changes;
          problems_ = problems;
          ++calls_;
        });
    ASSERT_TRUE(source.has_value()) << source.error().message();
    source_ = std::move(*source);
  }
  template <class Condition>
  testing::AssertionResult until(const Condition& condition) {
    const auto start = std::chrono::steady_clock::now();
    while (!condition()) {
      const auto waited = std::chrono::steady_clock::now() - start;
      if (waited > std::chrono::seconds(2)) {
        return testing::AssertionFailure()
               << "pods " << testing::PrintToString(names(objects_)) << " problems "
               << testing::PrintToString(texts(problems_));
      }
      loop_.restart();
      loop_.run_one_for(std::chrono::milliseconds(100));
    }
    waited_ = std::chrono::steady_clock::now() - start;
    return testing::AssertionSuccess();
  }
  // Lets everything that is under way arrive.
  void settle() {
    loop_.restart();
    loop_.run_for(std::chrono::milliseconds(50));
  }

  asio::io_context loop_;
  std::string root_;
  std::string folder_;
  std::unique_ptr<ManifestSource> source_;
  Objects objects_;
  std::vector<ObjectChange> changes_;  // of the last call
  std::vector<SourceProblem> problems_;
  int calls_ = 0;
  std::chrono::steady_clock::duration waited_{};
};

TEST_F(ManifestSourceTest, ReadsWhatIsThereFromInsideOpen) {
  write("a.yaml", pod_text("a"));
  write("b.yml", pod_text("b"));
  write("c.json", R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"c"}})");
  write("d.txt", pod_text("d"));
  write(".e.yaml", pod_text("e"));

  open();

  EXPECT_EQ(calls_, 1);
  EXPECT_THAT(names(objects_), ElementsAre("a", "b", "c"));
}

TEST_F(ManifestSourceTest, EmptyFolderIsReportedAsEmptyOnce) {
  open();
  settle();

  EXPECT_EQ(calls_, 1);
  EXPECT_EQ(objects_, Objects{});
}

TEST_F(ManifestSourceTest, SeesWriteRenameAndDeleteWithin100Milliseconds) {
  open();

  write("a.yaml", pod_text("a"));
  ASSERT_TRUE(until([&] { return names(objects_) == std::vector<std::string>{"a"}; }));
  EXPECT_LT(waited_, std::chrono::milliseconds(100));

  std::ofstream(root_ + "/new") << pod_text("b");
  std::filesystem::rename(root_ + "/new", folder_ + "/a.yaml");
  ASSERT_TRUE(until([&] { return names(objects_) == std::vector<std::string>{"b"}; }));
  EXPECT_LT(waited_, std::chrono::milliseconds(100));

  std::filesystem::rename(folder_ + "/a.yaml", folder_ + "/a.off");
  ASSERT_TRUE(until([&] { return objects_.pods.empty(); }));
  std::filesystem::rename(folder_ + "/a.off", folder_ + "/a.yaml");
  ASSERT_TRUE(until([&] { return !objects_.pods.empty(); }));

  std::filesystem::remove(folder_ + "/a.yaml");
  ASSERT_TRUE(until([&] { return objects_.pods.empty(); }));
  EXPECT_LT(waited_, std::chrono::milliseconds(100));
}

TEST_F(ManifestSourceTest, TellsOnlyWhatIsAnother) {
  for (int i = 0; i < 50; ++i)
    write("f" + std::to_string(i) + ".yaml", pod_text("p" + std::to_string(i)));
  open();
  EXPECT_EQ(changes_.size(), 50U);

  write("f7.yaml", pod_text("p7") + pod_text("q7"));
  ASSERT_TRUE(until([&] { return calls_ == 2; }));
  ASSERT_EQ(changes_.size(), 1U);
  EXPECT_EQ(std::get<PodObject>(changes_[0].object).name, "q7");

  write("f7.yaml", pod_text("p7") + pod_text("q7"));
  settle();
  EXPECT_EQ(calls_, 2) << "the same text again";
  EXPECT_EQ(objects_.pods.size(), 51U);
}

TEST_F(ManifestSourceTest, HalfWrittenFileIsNotTaken) {
  write("a.yaml", pod_text("a"));
  open();

  std::ofstream half(folder_ + "/a.yaml");
  half << "kind: [";
  half.flush();
  std::ofstream fresh(folder_ + "/b.yaml");
  fresh << "kind: [";
  fresh.flush();
  settle();
  EXPECT_EQ(calls_, 1);

  half.seekp(0);
  half << pod_text("b");
  half.close();
  ASSERT_TRUE(until([&] { return names(objects_) == std::vector<std::string>{"b"}; }));
  EXPECT_THAT(problems_, IsEmpty());
}

TEST_F(ManifestSourceTest, SwappedLinkOfAMountedConfigMapIsSeen) {
  for (const char* version : {"one", "two"}) {
    std::filesystem::create_directory(folder_ + "/.." + version);
    std::ofstream(folder_ + "/.." + version + "/pods.yaml") << pod_text(version);
  }
  std::filesystem::create_symlink("..one", folder_ + "/..data");
  std::filesystem::create_symlink("..data/pods.yaml", folder_ + "/pods.yaml");
  open();
  ASSERT_THAT(names(objects_), ElementsAre("one"));

  std::filesystem::create_symlink("..two", folder_ + "/..data_tmp");
  std::filesystem::rename(folder_ + "/..data_tmp", folder_ + "/..data");

  ASSERT_TRUE(until([&] { return names(objects_) == std::vector<std::string>{"two"}; }));
  EXPECT_LT(waited_, std::chrono::milliseconds(100));
}

TEST_F(ManifestSourceTest, FolderThatIsALinkMayBeSwapped) {
  std::filesystem::create_directory(root_ + "/v2");
  std::ofstream(root_ + "/v2/p.yaml") << pod_text("second");
  std::filesystem::rename(folder_, root_ + "/v1");
  std::ofstream(root_ + "/v1/p.yaml") << pod_text("first");
  std::filesystem::create_symlink("v1", folder_);
  open();
  ASSERT_THAT(names(objects_), ElementsAre("first"));

  std::filesystem::create_symlink("v2", root_ + "/tmp");
  std::filesystem::rename(root_ + "/tmp", folder_);
  ASSERT_TRUE(until([&] { return names(objects_) == std::vector<std::string>{"second"}; }));

  write("q.yaml", pod_text("third"));
  ASSERT_TRUE(
      until([&] { return names(objects_) == (std::vector<std::string>{"second", "third"}); }));
}

TEST_F(ManifestSourceTest, BrokenFileIsReportedUntilItIsMendedOrGone) {
  write("a.yaml", pod_text("a"));
  write("b.yaml", pod_text("b"));
  open();

  write("a.yaml", pod_text("a") + "x: [\n");
  ASSERT_TRUE(until([&] { return problems_.size() == 1; }));
  EXPECT_THAT(to_string(problems_[0]), testing::StartsWith("a.yaml:"));
  EXPECT_THAT(names(objects_), ElementsAre("a", "b"));

  write("b.yaml", pod_text("c"));
  ASSERT_TRUE(until([&] { return names(objects_) == (std::vector<std::string>{"a", "c"}); }));
  EXPECT_EQ(problems_.size(), 1U);

  write("a.yaml", pod_text("d"));
  ASSERT_TRUE(until([&] { return problems_.empty(); }));
  EXPECT_THAT(names(objects_), ElementsAre("c", "d"));

  write("a.yaml", "]");
  ASSERT_TRUE(until([&] { return problems_.size() == 1; }));
  std::filesystem::remove(folder_ + "/a.yaml");
  ASSERT_TRUE(until([&] { return problems_.empty(); }));
  EXPECT_THAT(names(objects_), ElementsAre("c"));
}

TEST_F(ManifestSourceTest, FolderMayComeLateAndGoWithoutTakingObjectsAway) {
  std::filesystem::remove(folder_);
  open();
  ASSERT_EQ(problems_.size(), 1U);
  EXPECT_THAT(to_string(problems_[0]), HasSubstr(folder_));

  std::filesystem::create_directory(folder_);
  write("a.yaml", pod_text("a"));
  ASSERT_TRUE(
      until([&] { return names(objects_) == std::vector<std::string>{"a"} && problems_.empty(); }));

  std::filesystem::rename(folder_, root_ + "/away");
  ASSERT_TRUE(until([&] { return problems_.size() == 1; }));
  EXPECT_THAT(names(objects_), ElementsAre("a"));
}

TEST_F(ManifestSourceTest, WhatIsNoPlainFileIsReportedAndNotWaitedFor) {
  ASSERT_EQ(mkfifo((folder_ + "/f.yaml").c_str(), 0600), 0);
  std::filesystem::create_directory(folder_ + "/d.yaml");
  std::filesystem::create_symlink("nowhere", folder_ + "/l.yaml");

  open();

  EXPECT_THAT(texts(problems_), ElementsAre("f.yaml: cannot be read: not a regular file"));
}

TEST_F(ManifestSourceTest, MissingParentIsAnError) {
  const auto source =
      ManifestSource::open(loop_, root_ + "/no/where", [](const auto&, const auto&) {});

  ASSERT_FALSE(source.has_value());
  EXPECT_EQ(source.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(source.error().message(), HasSubstr(root_ + "/no"));
}

TEST_F(ManifestSourceTest, NoCallComesAfterItIsGone) {
  open();
  write("a.yaml", pod_text("a"));
  loop_.restart();
  loop_.run_one_for(std::chrono::milliseconds(5));  // the event is read, the timer runs

  source_.reset();
  settle();

  EXPECT_EQ(calls_, 1);
}
}  // namespace
}  // namespace sluice
