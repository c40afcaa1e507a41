// SPDX-License-Identifier: Apache-2.0
// lib/fd: descriptors close once; files appear whole or not at all.
#include "lib/fd/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace sluice {
namespace {

class FileTest : public testing::Test {
 protected:
  FileTest() {
    std::string pattern = testing::TempDir() + "fd_test_XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  ~FileTest() override { std::filesystem::remove_all(folder_); }

  size_t entries() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      (void)entry;
      count++;
    }
    return count;
  }

  std::string folder_;
};

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

TEST(Fd, ClosesOnceAndOnlyItsOwn) {
  const int raw = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  {
    Fd first(raw);
    Fd second(std::move(first));
    EXPECT_FALSE(first.valid());
    EXPECT_TRUE(is_open(raw));
    second = std::move(second);
    EXPECT_TRUE(is_open(raw));
  }
  EXPECT_FALSE(is_open(raw));
}

TEST(Fd, AssignmentClosesWhatWasThere) {
  const int old = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  Fd fd(old);

  fd = Fd(::open("/dev/zero", O_RDONLY | O_CLOEXEC));

  EXPECT_FALSE(is_open(old));
  EXPECT_TRUE(fd.valid());
}

TEST_F(FileTest, ReadsBackWhatWasWritten) {
  const std::string path = folder_ + "/state";
  const std::string content = std::string("a\0b", 3) + std::string(100000, 'x');

  ASSERT_TRUE(write_file(path, content, 0640));

  EXPECT_EQ(*read_file(path), content);
  struct stat found{};
  ASSERT_EQ(::stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0640U);
}

TEST_F(FileTest, ReplacesWholeAndLeavesNothingElse) {
  const std::string path = folder_ + "/state";
  ASSERT_TRUE(write_file(path, "long old content"));
  const Fd reader(::open(path.c_str(), O_RDONLY | O_CLOEXEC));

  ASSERT_TRUE(write_file(path, "new"));

  EXPECT_EQ(*read_file(path), "new");
  EXPECT_EQ(entries(), 1U);
  char buffer[32];
  EXPECT_EQ(::read(reader.get(), buffer, sizeof(buffer)), 16);  // who reads the old one keeps it
}

TEST_F(FileTest, AFailedReplacementKeepsTheOldAndCleansUp) {
  const std::string path = folder_ + "/taken";
  ASSERT_TRUE(make_directories(path + "/inner"));

  const auto written = write_file(path, "new");

  ASSERT_FALSE(written);
  EXPECT_NE(written.error().context.find(path), std::string::npos);
  EXPECT_EQ(entries(), 1U);
}

TEST_F(FileTest, AMissingFileIsNotFoundAndNamed) {
  const auto content = read_file(folder_ + "/none");

  ASSERT_FALSE(content);
  EXPECT_EQ(content.error().code, ErrorCode::kNotFound);
  EXPECT_NE(content.error().context.find("none"), std::string::npos);
  EXPECT_FALSE(write_file(folder_ + "/no/such/folder", "x"));
}

TEST_F(FileTest, ReadsFilesThatHaveNoSize) {
  EXPECT_FALSE(read_file("/proc/self/status")->empty());
}

TEST_F(FileTest, MakesFoldersDeepAndTwice) {
  const std::string path = folder_ + "/a/b//c/";

  EXPECT_TRUE(make_directories(path));
  EXPECT_TRUE(make_directories(path));

  EXPECT_TRUE(std::filesystem::is_directory(path));
}

TEST_F(FileTest, AFileInTheWayOfAFolderIsAnError) {
  ASSERT_TRUE(write_file(folder_ + "/file", "x"));

  EXPECT_FALSE(make_directories(folder_ + "/file"));
  EXPECT_FALSE(make_directories(folder_ + "/file/below"));
}

}  // namespace
}  // namespace sluice
