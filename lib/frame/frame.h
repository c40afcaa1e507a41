// SPDX-License-Identifier: Apache-2.0
// The framing of /run/sluice/agent.sock. Grammar: frame = length(4, network order, of the rest)
// service(1) message(length - 1).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/fd/fd.h"
#include "lib/result/result.h"

namespace sluice {

inline constexpr uint8_t kServiceCni = 1;
inline constexpr uint8_t kServiceAdmin = 2;
inline constexpr uint32_t kFrameMaxBytes = 64U << 20;  // longer is refused before it is read
inline constexpr uint32_t kRequestMaxBytes = 4U
                                             << 20;  // what a server accepts; answers may be longer

struct Frame {
  uint8_t service = 0;
  std::string message;
};

std::string encode_frame(uint8_t service, std::string_view message);

// Cuts a byte stream into frames. Memory follows what has arrived, never what a length field
// promises. Thread: one at a time.
class FrameDecoder {
 public:
  explicit FrameDecoder(uint32_t max_bytes = kFrameMaxBytes) : max_bytes_(max_bytes) {}

  void append(std::string_view bytes) { buffer_.append(bytes); }
  // The next whole frame; nullopt where more bytes are needed.
  // kInvalid: a length of 0 or above the limit. The stream has lost its place for good then: close
  // it.
  Result<std::optional<Frame>> next();
  // Bytes of a frame that has begun and is not whole.
  size_t pending_bytes() const { return buffer_.size(); }

 private:
  uint32_t max_bytes_;
  std::string buffer_;
};

// Client side: connects, sends one frame, waits for the one that answers. The deadline covers all
// of it. kUnavailable: nobody listens (the agent is away), or it closed before a whole answer;
// kTimeout: it did not answer in time; kInvalid: the answer is no frame of this service. The
// context says at which step: kConnectStep opens it where not a byte of the request was sent, so
// that the caller knows that nothing was done.
inline constexpr std::string_view kConnectStep = "connect to ";
Result<std::string> call(const std::string& socket_path, uint8_t service, std::string_view message,
                         std::chrono::milliseconds deadline);

}  // namespace sluice
