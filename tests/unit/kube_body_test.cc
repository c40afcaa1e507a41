// SPDX-License-Identifier: Apache-2.0
// Bodies of the API server: envelopes, lists, watches cut anywhere, and what is broken in them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/source/kube/body.h"
#include "operator/source/kube/decode.h"
#include "tests/unit/kube_fakes.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

// Type and name of each event, fed in pieces of `step` bytes.
std::vector<std::string> events_of(Encoding encoding, const std::string& stream, size_t step) {
  WatchDecoder decoder(encoding);
  std::vector<std::string> all;
  for (size_t at = 0; at < stream.size(); at += step) {
    decoder.append(std::string_view(stream).substr(at, step));
    for (;;) {
      const auto event = decoder.next();
      if (!event) {
        all.push_back("error: " + event.error().message());
        if (decoder.lost()) return all;
        continue;
      }
      if (!*event) break;
      const auto head = head_of(encoding, (*event)->object);
      all.push_back(std::to_string(static_cast<int>((*event)->type)) + " " + head.key.name);
    }
  }
  return all;
}

TEST(KubeBody, WatchOfTheRealServerGivesTheSameEventsWhereverItIsCut) {
  const std::string stream = kube_sample("pods.watch");
  const std::vector<std::string> expected = {"0 web-3", "1 web-3", "1 web-3", "2 web-3", "3 "};

  for (const size_t step : {size_t{1}, size_t{3}, size_t{1000}, stream.size()})
    EXPECT_EQ(events_of(Encoding::kProtobuf, stream, step), expected) << "pieces of " << step;
}

TEST(KubeBody, JsonWatchOfTheRealServerGivesTheSameEventsWhereverItIsCut) {
  const std::string stream = kube_sample("pods.watch.json");
  const std::vector<std::string> expected = {"0 web-3", "1 web-3", "1 web-3", "2 web-3"};

  for (const size_t step : {size_t{1}, size_t{100}, stream.size()})
    EXPECT_EQ(events_of(Encoding::kJson, stream, step), expected) << "pieces of " << step;
}

TEST(KubeBody, ExpiredVersionIsAnErrorEventWithCode410) {
  WatchDecoder decoder(Encoding::kProtobuf);
  decoder.append(kube_sample("expired.watch"));

  const auto event = decoder.next();

  ASSERT_TRUE(event && *event);
  EXPECT_EQ((*event)->type, EventType::kError);
  const auto status = parse_status(Encoding::kProtobuf, (*event)->object);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, 410);
  EXPECT_EQ(status->reason, "Expired");
  EXPECT_THAT(status->message, HasSubstr("too old resource version: 2"));
}

TEST(KubeBody, FirstPageOfSeveralHasATokenForTheNext) {
  const auto page = parse_list(Encoding::kProtobuf, kube_sample("pods.page"));

  ASSERT_TRUE(page);
  EXPECT_THAT(page->items, SizeIs(1));
  EXPECT_FALSE(page->continue_token.empty());
  EXPECT_FALSE(page->resource_version.empty());
}

TEST(KubeBody, StatusOfTheRealServerReads) {
  const auto object = open_envelope(kube_sample("pod.missing"));
  ASSERT_TRUE(object);

  const auto status = parse_status(Encoding::kProtobuf, *object);

  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, 404);
  EXPECT_EQ(status->reason, "NotFound");
}

TEST(KubeBody, BodyWithoutItsMagicIsRefused) {
  const auto page = parse_list(Encoding::kProtobuf, "<html>");

  ASSERT_FALSE(page);
  EXPECT_THAT(page.error().message(), HasSubstr("\"k8s\\0\" is missing"));
}

TEST(KubeBody, ListWithoutAVersionIsRefused) {
  EXPECT_FALSE(parse_list(Encoding::kProtobuf, envelope(kube::AnyList())));
  EXPECT_FALSE(parse_list(Encoding::kJson, R"({"items":[]})"));
  EXPECT_FALSE(parse_list(Encoding::kJson, R"([1])"));
}

TEST(KubeBody, BrokenEventIsSkippedAndTheNextOneReads) {
  const std::string stream = frame("\x0a\x7f") + watch_frame("ADDED", kube_pod("web", 1)) +
                             watch_frame("WHAT", kube_pod("x", 2));

  EXPECT_THAT(events_of(Encoding::kProtobuf, stream, stream.size()),
              ElementsAre("error: watch event: not a WatchEvent", "0 web",
                          "error: watch event: unknown type \"WHAT\""));
}

TEST(KubeBody, LengthBeyondTheLimitLosesTheStream) {
  EXPECT_THAT(events_of(Encoding::kProtobuf, std::string("\xff\xff\xff\xff", 4) + "abc", 100),
              ElementsAre("error: watch: an event of 4294967295 bytes"));
}

TEST(KubeBody, JsonEventThatIsNoObjectIsSkipped) {
  const std::string stream =
      "[]\n{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\"}}}\n";

  EXPECT_THAT(events_of(Encoding::kJson, stream, 7),
              ElementsAre("error: watch event: not a JSON object", "0 a"));
}

TEST(KubeBody, JsonStatusHasItsRetryAndCauses) {
  const auto status = parse_status(Encoding::kJson,
                                   R"({"kind":"Status","code":504,"reason":"Timeout","message":"m",
          "details":{"retryAfterSeconds":3,"causes":[{"reason":"ResourceVersionTooLarge"}]}})");

  ASSERT_TRUE(status);
  EXPECT_EQ(status->retry_after_seconds, 3U);
  EXPECT_THAT(status->causes, ElementsAre("ResourceVersionTooLarge"));
  EXPECT_FALSE(parse_status(Encoding::kJson, R"({"kind":"Pod"})"));
}

}  // namespace
}  // namespace sluice
