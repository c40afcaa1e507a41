// SPDX-License-Identifier: Apache-2.0
// The agent's socket: the first byte says how the stream is cut into reads; the cut never changes
// the frames.
#include <cstdlib>
#include <string>

#include "lib/frame/frame.h"

namespace {

std::string frames_of(std::string_view stream, size_t step) {
  sluice::FrameDecoder decoder(4096);
  std::string seen;
  for (size_t at = 0; at < stream.size(); at += step) {
    decoder.append(stream.substr(at, step));
    for (;;) {
      auto frame = decoder.next();
      if (!frame) return seen + "!";
      if (!*frame) break;
      seen += sluice::encode_frame((*frame)->service, (*frame)->message);
    }
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (frames_of(stream, size) != frames_of(stream, static_cast<size_t>(data[0] % 16) + 1))
    std::abort();
  return 0;
}
