// SPDX-License-Identifier: Apache-2.0
// Both ends of agent.sock cut their bytes here; the client's side is whole, the server's is
// agent/pods/socket_server.
#include "lib/frame/frame.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLengthBytes = 4;
constexpr size_t kReadBytes = 16384;

Result<Fd> connect_to(const std::string& path, Clock::time_point until) {
  const std::string doing = std::string(kConnectStep) + path;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return fail(ErrorCode::kInvalid, doing + ": a socket path has 1 to 107 bytes");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fail(from_errno(doing + ": socket"));

  while (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN) {
      Error error = from_errno(doing);
      if (error.sys_errno == ENOENT || error.sys_errno == ECONNREFUSED)
        error.code = ErrorCode::kUnavailable;
      return fail(std::move(error));
    }
    // The backlog of a unix socket is full and the kernel offers nothing to poll for.
    if (Clock::now() >= until) return fail(ErrorCode::kTimeout, doing + ": its queue stayed full");
    poll(nullptr, 0, 5);
  }
  return fd;
}

Status wait_for(int fd, short events, Clock::time_point until, const std::string& doing) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0) return fail(ErrorCode::kTimeout, doing + ": the deadline passed");
    pollfd entry{.fd = fd, .events = events, .revents = 0};
    const int ready = poll(&entry, 1, static_cast<int>(std::min<int64_t>(left, 1 << 30)));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return fail(from_errno(doing + ": poll"));
  }
}

Status send_all(int fd, std::string_view bytes, Clock::time_point until, const std::string& doing) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      if (Status ready = wait_for(fd, POLLOUT, until, doing); !ready) return ready;
    } else if (errno != EINTR) {
      Error error = from_errno(doing);
      if (error.sys_errno == EPIPE || error.sys_errno == ECONNRESET)
        error.code = ErrorCode::kUnavailable;
      return fail(std::move(error));
    }
  }
  return {};
}

Result<Frame> receive_frame(int fd, Clock::time_point until, const std::string& doing) {
  FrameDecoder decoder;
  std::string chunk(kReadBytes, '\0');
  while (true) {
    const ssize_t got = recv(fd, chunk.data(), chunk.size(), 0);
    if (got > 0) {
      decoder.append({chunk.data(), static_cast<size_t>(got)});
      auto frame = decoder.next();
      if (!frame) return fail(within(doing, frame.error()));
      if (*frame) return std::move(**frame);
    } else if (got == 0) {
      return fail(ErrorCode::kUnavailable, doing + ": closed before a whole answer");
    } else if (errno == EAGAIN) {
      if (Status ready = wait_for(fd, POLLIN, until, doing); !ready) return fail(ready.error());
    } else if (errno != EINTR) {
      Error error = from_errno(doing);
      if (error.sys_errno == ECONNRESET) error.code = ErrorCode::kUnavailable;
      return fail(std::move(error));
    }
  }
}

}  // namespace

std::string encode_frame(uint8_t service, std::string_view message) {
  const uint32_t length_be = htonl(static_cast<uint32_t>(message.size() + 1));
  std::string frame;
  frame.reserve(kLengthBytes + 1 + message.size());
  frame.append(reinterpret_cast<const char*>(&length_be), kLengthBytes);
  frame.push_back(static_cast<char>(service));
  frame.append(message);
  return frame;
}

Result<std::optional<Frame>> FrameDecoder::next() {
  if (buffer_.size() < kLengthBytes) return std::optional<Frame>();
  uint32_t length_be = 0;
  std::memcpy(&length_be, buffer_.data(), kLengthBytes);
  const uint32_t length = ntohl(length_be);
  if (length == 0 || length > max_bytes_) {
    return fail(ErrorCode::kInvalid, "frame: a length of " + std::to_string(length) +
                                         ", allowed are 1 to " + std::to_string(max_bytes_));
  }
  if (buffer_.size() < kLengthBytes + length) return std::optional<Frame>();

  Frame frame{.service = static_cast<uint8_t>(buffer_[kLengthBytes]),
              .message = buffer_.substr(kLengthBytes + 1, length - 1)};
  buffer_.erase(0, kLengthBytes + length);
  return std::optional<Frame>(std::move(frame));
}

Result<std::string> call(const std::string& socket_path, uint8_t service, std::string_view message,
                         std::chrono::milliseconds deadline) {
  if (message.size() + 1 > kFrameMaxBytes) {
    return fail(ErrorCode::kInvalid, "call " + socket_path + ": a message of " +
                                         std::to_string(message.size()) + " bytes");
  }
  const Clock::time_point until = Clock::now() + deadline;
  Result<Fd> fd = connect_to(socket_path, until);
  if (!fd) return fail(fd.error());

  if (Status sent =
          send_all(fd->get(), encode_frame(service, message), until, "send to " + socket_path);
      !sent) {
    return fail(sent.error());
  }
  Result<Frame> answer = receive_frame(fd->get(), until, "wait for the answer of " + socket_path);
  if (!answer) return fail(answer.error());
  if (answer->service != service) {
    return fail(ErrorCode::kInvalid, "call " + socket_path + ": the answer is of service " +
                                         std::to_string(answer->service) + ", asked was " +
                                         std::to_string(service));
  }
  return std::move(answer->message);
}

}  // namespace sluice
