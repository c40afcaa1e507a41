// SPDX-License-Identifier: Apache-2.0
// Requests to the API server over scripted HTTP: which server, and what is tried again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/source/kube/api_client.h"
#include "tests/unit/kube_fakes.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kJson = "application/json";

class KubeClient : public testing::Test {
 protected:
  KubeClient()
      : client(http, timers,
               *Credentials::open({.servers = {"https://a:1", "https://b:2"},
                                   .token = {.file = "", .text = "secret"}}),
               [] { return 0.0; },
               {.backoff = {.first = milliseconds(100), .longest = milliseconds(1000)},
                .deadline = milliseconds(10'000)}) {}

  void request(const std::string& method, std::optional<bool> repeatable = {}) {
    client.request({.method = method,
                    .target = "/x",
                    .content_type = method == "GET" ? "" : kJson,
                    .body = method == "GET" ? "" : "{}",
                    .repeatable = repeatable},
                   [this](Result<ApiAnswer> result) { answer = std::move(result); });
  }
  std::string error() const { return answer && !*answer ? answer->error().message() : ""; }

  ScriptedHttp http;
  ManualTimers timers;
  ApiClient client;
  std::optional<Result<ApiAnswer>> answer;
};

TEST_F(KubeClient, SendsTokenAndTypes) {
  request("PUT");

  EXPECT_EQ(http.request().url, "https://a:1/x");
  EXPECT_THAT(http.request().headers, Contains("Authorization: Bearer secret"));
  EXPECT_THAT(http.request().headers, Contains("Content-Type: application/json"));
  http.answer(200, "ok", kJson);
  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ((**answer).body, "ok");
}

TEST_F(KubeClient, WithoutAConnectionAnyRequestGoesToTheNextServer) {
  request("POST");
  http.lose(ErrorCode::kUnavailable, false);
  timers.advance(milliseconds(100));

  EXPECT_EQ(http.request().url, "https://b:2/x");
  EXPECT_EQ(client.metrics().failovers, 1U);
  http.answer(201, "{}", kJson);
  EXPECT_EQ((**answer).status, 201);
}

TEST_F(KubeClient, PostThatMayHaveArrivedIsNotSentAgain) {
  request("POST");
  http.lose(ErrorCode::kUnavailable, true);

  EXPECT_THAT(error(), HasSubstr("the server may have done it all the same"));
  EXPECT_TRUE(http.idle());
  EXPECT_EQ(timers.waiting(), 0U);
}

TEST_F(KubeClient, PostThatTheServerFailedAtIsNotSentAgain) {
  request("POST");
  http.answer(500, "", kJson);

  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ((**answer).status, 500);
  EXPECT_EQ(timers.waiting(), 0U);
}

TEST_F(KubeClient, ReviewThatChangesNothingIsSentAgain) {
  request("POST", true);
  http.lose(ErrorCode::kUnavailable, true);
  timers.advance(milliseconds(100));

  http.answer(200, "", kJson);
  EXPECT_TRUE(*answer);
}

TEST_F(KubeClient, PutAndPatchAreSentAgain) {
  for (const char* method : {"PUT", "PATCH", "GET"}) {
    answer.reset();
    request(method);
    http.answer(503, "", kJson);
    timers.advance(milliseconds(100));
    http.answer(200, "", kJson);
    EXPECT_TRUE(answer && *answer && (**answer).good()) << method;
  }
}

TEST_F(KubeClient, RetryAfterIsWaitedFor) {
  request("POST");
  http.answer(429, "", kJson, 3);

  timers.advance(milliseconds(2999));
  EXPECT_TRUE(http.idle());
  timers.advance(milliseconds(1));
  EXPECT_FALSE(http.idle());
  EXPECT_EQ(http.request().url, "https://a:1/x") << "throttled is no reason to leave";
}

TEST_F(KubeClient, UnauthorizedIsTriedOnceMore) {
  request("GET");
  http.answer(401, "", kJson);
  timers.advance(milliseconds(100));
  http.answer(401, "", kJson);

  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ((**answer).status, 401);
}

TEST_F(KubeClient, ConflictIsAnAnswer) {
  request("PUT");
  http.answer(409, R"({"kind":"Status","reason":"Conflict","message":"changed","code":409})",
              kJson);

  ASSERT_TRUE(answer && *answer);
  const Error error = error_of("PUT", "/x?y=z", **answer);
  EXPECT_EQ(error.message(), "PUT /x: 409 Conflict: changed");
  EXPECT_EQ(error.code, ErrorCode::kExists);
}

TEST_F(KubeClient, DeadlineEndsTheTries) {
  request("GET");
  for (int i = 0; i < 100 && !answer; ++i) {
    http.lose();
    timers.advance(milliseconds(1000));
  }

  EXPECT_THAT(error(), HasSubstr("scripted loss"));
  EXPECT_THAT(error(), Not(HasSubstr("may have done")));
  EXPECT_LE(http.exchanges.size(), 24U);
}

TEST_F(KubeClient, AnswerThatTricklesInIsGivenUpAtTheDeadline) {
  request("PUT");
  http.head(200, kJson);
  for (int i = 0; i < 10; ++i) {
    http.body("x");
    timers.advance(milliseconds(1000));
  }

  EXPECT_EQ(error(),
            "PUT /x: no whole answer within 10000 ms; the server may have done it all the same: "
            "read before writing again");
  EXPECT_TRUE(http.idle());
  EXPECT_EQ(timers.waiting(), 0U);
}

TEST_F(KubeClient, ServerErrorLeavesTheServerOnce) {
  HttpHandlers none;
  client.start({.target = "/w1"}, none);
  client.start({.target = "/w2"}, none);
  http.exchanges[0].handlers.head({.status = 503});
  http.exchanges[1].handlers.head({.status = 503});

  EXPECT_EQ(client.server(), "https://b:2");
  EXPECT_EQ(client.metrics().failovers, 1U);
}

}  // namespace
}  // namespace sluice
