// SPDX-License-Identifier: Apache-2.0
// agent.sock's framing: whole, in pieces, and from peers that misbehave.
#include "lib/frame/frame.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <thread>

namespace sluice {
namespace {

using std::chrono::milliseconds;

// A server of one connection that does what it is told with it.
class OneShotServer {
 public:
  template <class Work>
  explicit OneShotServer(Work work) {
    char folder[] = "/tmp/frame_test.XXXXXX";
    folder_ = mkdtemp(folder);
    listener_ = Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path().c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_.get(), 1), 0);
    thread_ = std::jthread([this, work] {
      const Fd client(accept(listener_.get(), nullptr, nullptr));
      work(client.get());
    });
  }
  ~OneShotServer() {
    thread_.join();
    unlink(path().c_str());
    rmdir(folder_.c_str());
  }
  std::string path() const { return folder_ + "/s"; }

 private:
  std::string folder_;
  Fd listener_;
  std::jthread thread_;
};

std::string read_some(int fd) {
  char buffer[4096];
  const ssize_t got = read(fd, buffer, sizeof(buffer));
  return {buffer, got > 0 ? static_cast<size_t>(got) : 0};
}

void write_text(int fd, const std::string& text) {
  EXPECT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

// Until the client hangs up.
void wait_for_close(int fd) {
  while (!read_some(fd).empty()) {
  }
}

TEST(Frame, IsLengthServiceMessage) {
  EXPECT_EQ(encode_frame(2, "ab"), std::string("\0\0\0\3\2ab", 7));
}

TEST(FrameDecoder, TakesFramesByteByByte) {
  const std::string stream = encode_frame(1, "hello") + encode_frame(2, "");
  FrameDecoder decoder;
  std::vector<Frame> frames;
  for (const char byte : stream) {
    decoder.append({&byte, 1});
    auto frame = decoder.next();
    ASSERT_TRUE(frame);
    if (*frame) frames.push_back(**frame);
  }
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].service, 1);
  EXPECT_EQ(frames[0].message, "hello");
  EXPECT_EQ(frames[1].service, 2);
  EXPECT_EQ(frames[1].message, "");
  EXPECT_EQ(decoder.pending_bytes(), 0U);
}

TEST(FrameDecoder, RefusesALengthAboveTheLimitBeforeItsBytesCome) {
  FrameDecoder decoder(16);
  decoder.append(std::string("\0\0\0\x11", 4));
  const auto frame = decoder.next();
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, ErrorCode::kInvalid);
  EXPECT_NE(frame.error().message().find("17"), std::string::npos);
}

TEST(FrameDecoder, RefusesALengthOfZero) {
  FrameDecoder decoder;
  decoder.append(std::string(4, '\0'));
  EXPECT_FALSE(decoder.next());
}

TEST(Call, ReturnsTheAnswer) {
  OneShotServer server([](int fd) {
    EXPECT_EQ(read_some(fd), encode_frame(1, "ping"));
    const std::string answer = encode_frame(1, "pong");
    write_text(fd, answer.substr(0, 3));
    write_text(fd, answer.substr(3));
  });
  const auto answer = call(server.path(), 1, "ping", milliseconds(5000));
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(*answer, "pong");
}

TEST(Call, IsUnavailableWhereNobodyListens) {
  const auto answer = call("/tmp/frame_test.absent", 1, "", milliseconds(1000));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(answer.error().context.starts_with(kConnectStep));
  EXPECT_NE(answer.error().message().find("/tmp/frame_test.absent"), std::string::npos);
}

TEST(Call, IsUnavailableWhereTheServerHangsUp) {
  OneShotServer server([](int fd) {
    read_some(fd);
    write_text(fd, "\0\0");
  });
  const auto answer = call(server.path(), 1, "ping", milliseconds(5000));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
}

TEST(Call, TimesOutWhereTheServerIsSilent) {
  OneShotServer server(wait_for_close);
  const auto begin = std::chrono::steady_clock::now();
  const auto answer = call(server.path(), 1, "ping", milliseconds(50));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kTimeout);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(5000));
}

TEST(Call, TimesOutWhereTheServerDripsBytes) {
  OneShotServer server([](int fd) {
    write_text(fd, std::string("\0\0\0\x09\1", 5));
    wait_for_close(fd);
  });
  const auto answer = call(server.path(), 1, "ping", milliseconds(50));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kTimeout);
}

TEST(Call, RefusesAnAnswerOfAnotherService) {
  OneShotServer server([](int fd) {
    read_some(fd);
    write_text(fd, encode_frame(2, "pong"));
  });
  const auto answer = call(server.path(), 1, "ping", milliseconds(5000));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kInvalid);
}

TEST(Call, RefusesAPathThatDoesNotFit) {
  EXPECT_EQ(call(std::string(108, 'x'), 1, "", milliseconds(10)).error().code, ErrorCode::kInvalid);
}

}  // namespace
}  // namespace sluice
