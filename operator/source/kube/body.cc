// SPDX-License-Identifier: Apache-2.0
// Bodies of the API server: envelopes, lists and streams of watch events.
#include "operator/source/kube/body.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "kube/meta.pb.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr std::string_view kMagic("k8s\0", 4);

bool parse(google::protobuf::MessageLite& message, std::string_view bytes) {
  return bytes.size() <= INT32_MAX &&
         message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

std::optional<EventType> event_type(std::string_view name) {
  if (name == "ADDED") return EventType::kAdded;
  if (name == "MODIFIED") return EventType::kModified;
  if (name == "DELETED") return EventType::kDeleted;
  if (name == "BOOKMARK") return EventType::kBookmark;
  if (name == "ERROR") return EventType::kError;
  return std::nullopt;
}

// A text member of an object; empty where it is absent or something else.
std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const json& member(const json& object, const char* key) {
  static const json kNothing = json::object();
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() ? *found : kNothing;
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<ListPage> parse_json_list(std::string_view body) {
  const json root = json::parse(body, nullptr, false);
  if (!root.is_object()) return fail(ErrorCode::kInvalid, "list: not a JSON object");
  ListPage page;
  page.resource_version = text_of(member(root, "metadata"), "resourceVersion");
  page.continue_token = text_of(member(root, "metadata"), "continue");
  const json& items = member(root, "items");
  if (items.is_array()) {
    for (const json& item : items) page.items.push_back(dump(item));
  }
  if (page.resource_version.empty())
    return fail(ErrorCode::kInvalid, "list: metadata.resourceVersion is missing");
  return page;
}

Result<WatchEvent> parse_protobuf_event(std::string_view frame) {
  kube::WatchEvent message;
  if (!parse(message, frame)) return fail(ErrorCode::kInvalid, "watch event: not a WatchEvent");
  const auto type = event_type(message.type());
  if (!type)
    return fail(ErrorCode::kInvalid, "watch event: unknown type \"" + message.type() + "\"");
  auto object = open_envelope(message.object().raw());
  if (!object) return fail(within("watch event", object.error()));
  return WatchEvent{.type = *type, .object = std::move(*object)};
}

Result<WatchEvent> parse_json_event(std::string_view frame) {
  const json root = json::parse(frame, nullptr, false);
  if (!root.is_object()) return fail(ErrorCode::kInvalid, "watch event: not a JSON object");
  const auto type = event_type(text_of(root, "type"));
  if (!type)
    return fail(ErrorCode::kInvalid, "watch event: unknown type \"" + text_of(root, "type") + "\"");
  return WatchEvent{.type = *type, .object = dump(member(root, "object"))};
}

}  // namespace

std::string_view accept_type(Encoding encoding, bool watch) {
  if (encoding == Encoding::kJson) return "application/json";
  return watch ? "application/vnd.kubernetes.protobuf;stream=watch"
               : "application/vnd.kubernetes.protobuf";
}

std::optional<Encoding> encoding_of(std::string_view content_type) {
  if (content_type.starts_with("application/vnd.kubernetes.protobuf")) return Encoding::kProtobuf;
  if (content_type.starts_with("application/json")) return Encoding::kJson;
  return std::nullopt;
}

Result<std::string> open_envelope(std::string_view body) {
  if (!body.starts_with(kMagic))
    return fail(ErrorCode::kInvalid, "not protobuf of Kubernetes: \"k8s\\0\" is missing");
  kube::Unknown unknown;
  if (!parse(unknown, body.substr(kMagic.size())))
    return fail(ErrorCode::kInvalid, "envelope does not decode");
  return std::move(*unknown.mutable_raw());
}

Result<ListPage> parse_list(Encoding encoding, std::string_view body) {
  if (encoding == Encoding::kJson) return parse_json_list(body);
  const auto object = open_envelope(body);
  if (!object) return fail(within("list", object.error()));
  kube::AnyList list;
  if (!parse(list, *object)) return fail(ErrorCode::kInvalid, "list: does not decode");
  if (list.metadata().resourceversion().empty())
    return fail(ErrorCode::kInvalid, "list: metadata.resourceVersion is missing");
  ListPage page{.resource_version = list.metadata().resourceversion(),
                .continue_token = list.metadata().continue_()};
  page.items.reserve(static_cast<size_t>(list.items_size()));
  for (std::string& item : *list.mutable_items()) page.items.push_back(std::move(item));
  return page;
}

Result<std::optional<std::string>> WatchDecoder::next_frame() {
  const std::string_view rest = std::string_view(buffer_).substr(taken_);
  const auto take = [&](size_t skip, size_t length, size_t end) {
    std::string frame(rest.substr(skip, length));
    taken_ += skip + length + end;
    return frame;
  };
  const auto lose = [&](std::string what) {
    lost_ = true;
    return fail(ErrorCode::kInvalid, std::move(what));
  };
  std::optional<std::string> frame;
  if (encoding_ == Encoding::kProtobuf && rest.size() >= 4) {
    const auto byte = [&](size_t at) {
      return static_cast<uint32_t>(static_cast<uint8_t>(rest[at]));
    };
    const size_t length = byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
    if (length > kMaxEventBytes)
      return lose("watch: an event of " + std::to_string(length) + " bytes");
    if (rest.size() - 4 >= length) frame = take(4, length, 0);
  } else if (encoding_ == Encoding::kJson) {
    const size_t newline = rest.find('\n');
    if (newline == std::string_view::npos && rest.size() > kMaxEventBytes)
      return lose("watch: an event without an end in " + std::to_string(rest.size()) + " bytes");
    if (newline != std::string_view::npos) frame = take(0, newline, 1);
  }
  // Moves the rest to the front once for many events, not for each.
  if (!frame || taken_ == buffer_.size()) {
    buffer_.erase(0, taken_);
    taken_ = 0;
  }
  return frame;
}

Result<std::optional<WatchEvent>> WatchDecoder::next() {
  if (lost_) return fail(ErrorCode::kInvalid, "watch: the stream has lost its place");
  const auto frame = next_frame();
  if (!frame) return fail(frame.error());
  if (!*frame) return std::optional<WatchEvent>();
  auto event =
      encoding_ == Encoding::kJson ? parse_json_event(**frame) : parse_protobuf_event(**frame);
  if (!event) return fail(event.error());
  return std::optional<WatchEvent>(std::move(*event));
}

Result<ApiStatus> parse_status(Encoding encoding, std::string_view object) {
  ApiStatus status;
  if (encoding == Encoding::kProtobuf) {
    kube::Status message;
    if (!parse(message, object)) return fail(ErrorCode::kInvalid, "Status does not decode");
    status = {.code = message.code(), .reason = message.reason(), .message = message.message()};
    status.retry_after_seconds =
        static_cast<uint32_t>(std::max(0, message.details().retryafterseconds()));
    for (const auto& cause : message.details().causes()) status.causes.push_back(cause.reason());
    return status;
  }
  const json root = json::parse(object, nullptr, false);
  if (!root.is_object() || text_of(root, "kind") != "Status")
    return fail(ErrorCode::kInvalid, "no Status in JSON");
  const json& code = member(root, "code");
  const json& details = member(root, "details");
  const json& retry = member(details, "retryAfterSeconds");
  status.code = code.is_number_integer() ? code.get<int>() : 0;
  status.reason = text_of(root, "reason");
  status.message = text_of(root, "message");
  if (retry.is_number_unsigned()) status.retry_after_seconds = retry.get<uint32_t>();
  const json& causes = member(details, "causes");
  if (causes.is_array()) {
    for (const json& cause : causes) {
      if (cause.is_object()) status.causes.push_back(text_of(cause, "reason"));
    }
  }
  return status;
}

}  // namespace sluice
