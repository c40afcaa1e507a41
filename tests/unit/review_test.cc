// SPDX-License-Identifier: Apache-2.0
// Reviews of tokens over scripted HTTP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "operator/review/token_review.h"
#include "tests/unit/kube_fakes.h"

namespace sluice {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kJson = "application/json";
// As an API server of 1.36 answers for a token of a pod.
constexpr const char* kGood = R"({"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1",
  "metadata":{},"spec":{"token":"t","audiences":["sluice-operator"]},"status":{"authenticated":true,
  "user":{"username":"system:serviceaccount:kube-system:sluice-agent","uid":"1",
  "groups":["system:serviceaccounts"],"extra":{"authentication.kubernetes.io/node-name":["n1"],
  "authentication.kubernetes.io/pod-name":["sluice-agent-x"]}},"audiences":["sluice-operator"]}})";
constexpr const char* kBad = R"({"status":{"user":{},"error":"invalid bearer token"}})";

TEST(TokenReviewText, SaysWhoItIs) {
  const auto review = parse_review(kGood);

  ASSERT_TRUE(review) << review.error().message();
  EXPECT_TRUE(review->authenticated);
  EXPECT_EQ(review->username, "system:serviceaccount:kube-system:sluice-agent");
  EXPECT_THAT(review->audiences, ElementsAre("sluice-operator"));
  EXPECT_TRUE(check_account(*review, {}));
  EXPECT_TRUE(check_node(*review, "n1"));
  EXPECT_FALSE(check_node(*review, "n2"));
}

TEST(TokenReviewText, NoVerdictIsNoConsent) {
  const auto review = parse_review(kBad);
  ASSERT_TRUE(review);
  EXPECT_FALSE(review->authenticated);
  EXPECT_EQ(review->error, "invalid bearer token");
  for (const char* body : {"", "{}", "[]", R"({"status":7})", R"({"status":{"user":[]}})",
                           R"({"status":{"authenticated":"true"}})"}) {
    const auto none = parse_review(body);
    EXPECT_FALSE(none && none->authenticated) << body;
  }
}

TEST(TokenReviewText, TokenOfAnyBytesIsARequest) {
  const json request = json::parse(review_request("a\"\\\xff\n", "aud"));
  EXPECT_EQ(request["kind"], "TokenReview");
  EXPECT_THAT(request["spec"]["audiences"], ElementsAre("aud"));
}

class Reviewer : public testing::Test {
 protected:
  Reviewer()
      : api(http, timers, *Credentials::open({.servers = {"https://a:1"}}), [] { return 0.0; },
            {.backoff = {.first = milliseconds(100), .longest = milliseconds(100)},
             .deadline = milliseconds(1000)}),
        reviewer(loop, api, timers, {.in_flight = 2, .waiting = 3, .patience = milliseconds(700)}) {
  }

  // From another thread, as gRPC's.
  void review(const std::string& token) {
    std::jthread([&] {
      reviewer.review(token, "sluice-operator",
                      [this](Result<TokenReview> answer) { answers.push_back(std::move(answer)); });
    }).join();
  }
  void run() {
    loop.restart();
    loop.poll();
  }
  void answer(size_t exchange, const char* body) {
    http.exchanges[exchange].over = true;
    const auto handlers = http.exchanges[exchange].handlers;
    handlers.head({.status = 201, .content_type = kJson});
    handlers.body(body);
    handlers.end({.status = {}, .sent = true});
  }

  asio::io_context loop;
  ScriptedHttp http;
  ManualTimers timers;
  ApiClient api;
  ApiTokenReviewer reviewer;
  std::vector<Result<TokenReview>> answers;
};

TEST_F(Reviewer, AsksTheApiServerOnTheLoop) {
  review("secret");
  EXPECT_TRUE(http.idle()) << "not on the caller's thread";
  run();

  EXPECT_EQ(http.request().method, "POST");
  EXPECT_EQ(http.target(), "/apis/authentication.k8s.io/v1/tokenreviews");
  EXPECT_EQ(json::parse(http.request().body)["spec"]["token"], "secret");
  http.answer(201, kGood, kJson);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_TRUE(answers[0] && answers[0]->authenticated);
}

TEST_F(Reviewer, SameTokenIsAskedAboutAgain) {
  review("t");
  run();
  http.answer(201, kGood, kJson);
  review("t");
  run();
  http.answer(201, kBad, kJson);

  ASSERT_EQ(answers.size(), 2U);
  EXPECT_FALSE(answers[1]->authenticated);
}

TEST_F(Reviewer, LostAnswerIsAskedForAgain) {
  review("t");
  run();
  http.lose();
  timers.advance(milliseconds(100));
  http.answer(201, kGood, kJson);

  ASSERT_EQ(answers.size(), 1U);
  EXPECT_TRUE(answers[0]);
}

TEST_F(Reviewer, FailureSaysNothingOfTheTokenNorOfTheCluster) {
  review("t");
  run();
  http.answer(403, R"({"kind":"Status","message":"User \"op\" cannot create tokenreviews"})",
              kJson);
  review("t");
  run();
  http.answer(201, "{}", kJson);

  ASSERT_EQ(answers.size(), 2U);
  for (const auto& each : answers) {
    ASSERT_FALSE(each);
    EXPECT_EQ(each.error().code, ErrorCode::kUnavailable);
    EXPECT_THAT(each.error().message(), Not(HasSubstr("op")));
  }
}

TEST_F(Reviewer, FloodIsSentAwayAndDoesNotReachTheApiServer) {
  for (int i = 0; i < 10; ++i) review("t");
  EXPECT_EQ(answers.size(), 5U) << "five have a place";
  run();
  EXPECT_EQ(http.exchanges.size(), 2U);
  answer(0, kGood);
  EXPECT_EQ(http.exchanges.size(), 3U);
  answer(1, kGood);
  answer(2, kGood);
  answer(3, kGood);
  answer(4, kGood);
  EXPECT_EQ(answers.size(), 10U);

  review("t");
  EXPECT_EQ(answers.size(), 10U) << "there is a place again";
}

TEST_F(Reviewer, WhoWaitsTooLongIsNotAskedAbout) {
  for (int i = 0; i < 4; ++i) review("t");
  run();
  timers.advance(milliseconds(1000));

  EXPECT_EQ(answers.size(), 4U);
  EXPECT_EQ(http.exchanges.size(), 2U);
}

}  // namespace
}  // namespace sluice
