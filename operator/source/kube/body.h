// SPDX-License-Identifier: Apache-2.0
// Bodies of the API server: envelopes, lists and streams of watch events, in protobuf for built-in
// kinds and in JSON for custom resources. The objects in them stay bytes here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/result/result.h"

namespace sluice {

enum class Encoding : uint8_t { kProtobuf, kJson };

// For the Accept header of a list or a single object, and of a watch.
std::string_view accept_type(Encoding encoding, bool watch);
// How a body is encoded, by its Content-Type; nothing where it is neither.
std::optional<Encoding> encoding_of(std::string_view content_type);

// body = "k8s\0" Unknown(raw = object). kInvalid where it is not.
Result<std::string> open_envelope(std::string_view body);

struct ListPage {
  std::string resource_version{};
  std::string continue_token{};  // empty: the last page
  std::vector<std::string> items{};
};
Result<ListPage> parse_list(Encoding encoding, std::string_view body);

enum class EventType : uint8_t { kAdded, kModified, kDeleted, kBookmark, kError };

struct WatchEvent {
  EventType type = EventType::kError;
  std::string object{};  // without its envelope; a Status where the type is kError
};

// Cuts the stream of a watch into events.
// protobuf: event = length(4, network order) WatchEvent(object.raw = "k8s\0" Unknown)
// JSON:     event = {"type": ..., "object": ...} "\n"
class WatchDecoder {
 public:
  static constexpr size_t kMaxEventBytes = 16U << 20;  // the API server takes 3 MiB objects at most

  explicit WatchDecoder(Encoding encoding) : encoding_(encoding) {}

  void append(std::string_view bytes) { buffer_.append(bytes); }
  // The next whole event; nullopt where more bytes are needed.
  // kInvalid: this event is broken and is skipped. After lost(): the stream has lost its place.
  Result<std::optional<WatchEvent>> next();
  bool lost() const { return lost_; }

 private:
  Result<std::optional<std::string>> next_frame();

  Encoding encoding_;
  std::string buffer_;
  size_t taken_ = 0;
  bool lost_ = false;
};

// What the API server says of a failure.
struct ApiStatus {
  int code = 0;
  std::string reason{};  // "Expired", "NotFound", "TooManyRequests"
  std::string message{};
  uint32_t retry_after_seconds = 0;
  std::vector<std::string> causes{};  // reasons of details.causes
};
// object: a Status without envelope. kInvalid where it is none.
Result<ApiStatus> parse_status(Encoding encoding, std::string_view object);

}  // namespace sluice
