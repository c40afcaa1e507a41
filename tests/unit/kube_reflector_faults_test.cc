// SPDX-License-Identifier: Apache-2.0
// One kind over scripted HTTP: every way back from losses, refusals and versions that do not fit.
#include "tests/unit/kube_reflector_fixture.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST_F(KubeReflector, WatchThatEndsAtOnceIsNotAskedForInATightLoop) {
  begin_watch();
  http.end();

  EXPECT_TRUE(http.idle());
  timers.advance(milliseconds(100));
  EXPECT_THAT(http.target(), HasSubstr("resourceVersion=10&"));
  http.head(200);
  http.end();
  timers.advance(milliseconds(199));
  EXPECT_TRUE(http.idle());
}

TEST_F(KubeReflector, ExpiredVersionListsAgainAndHandsOnTheDifference) {
  begin_watch();
  http.body(watch_frame("ERROR", kube_status(410, "Expired")));
  timers.advance(milliseconds(100));
  EXPECT_EQ(http.target(), "/api/v1/pods?limit=500");
  EXPECT_THAT(changes, IsEmpty()) << "nothing is dropped before the list is there";

  http.answer(200, pod_list({kube_pod("a", 20, "n2"), kube_pod("c", 21)}, 30));

  EXPECT_THAT(changes, UnorderedElementsAre("+a@n2", "+c@n1", "-b"));
  EXPECT_EQ(synced, 1);
  EXPECT_EQ(metrics().restarts.at("expired"), 1U);
  EXPECT_THAT(http.target(), HasSubstr("resourceVersion=30&"));
}

TEST_F(KubeReflector, ContinueTokenThatExpiredStartsTheListAnew) {
  http.answer(200, pod_list({kube_pod("a", 1)}, 10, "t"));
  http.answer(410, envelope(kube_status(410, "Expired")));
  timers.advance(milliseconds(100));
  EXPECT_EQ(http.target(), "/api/v1/pods?limit=500");

  http.answer(200, pod_list({kube_pod("b", 1)}, 11));

  EXPECT_THAT(changes, ElementsAre("+a@n1", "+b@n1", "-a"));
}

TEST_F(KubeReflector, LostPageIsAskedForAgainWithItsToken) {
  http.answer(200, pod_list({kube_pod("a", 1)}, 10, "t"));
  http.lose();
  timers.advance(milliseconds(100));

  EXPECT_EQ(http.target(), "/api/v1/pods?limit=500&continue=t");
  EXPECT_EQ(metrics().restarts.at("connection"), 1U);
}

TEST_F(KubeReflector, ThrottledWaitsAsLongAsTheServerAsks) {
  http.answer(429, envelope(kube_status(429, "TooManyRequests")), ScriptedHttp::kProtobuf, 5);

  timers.advance(milliseconds(4999));
  EXPECT_TRUE(http.idle());
  timers.advance(milliseconds(1));
  EXPECT_FALSE(http.idle());
  EXPECT_EQ(metrics().restarts.at("throttled"), 1U);
}

TEST_F(KubeReflector, ServerErrorsOfAWatchKeepItsVersionAndBackOff) {
  begin_watch();
  http.body(watch_frame("BOOKMARK", kube_pod("", 50)));
  http.end();
  for (const int wait : {100, 200, 400}) {
    http.answer(500, "no protobuf at all", "text/plain");
    timers.advance(milliseconds(wait - 1));
    EXPECT_TRUE(http.idle());
    timers.advance(milliseconds(1));
    EXPECT_EQ(http.target(), "/api/v1/pods?limit=1");
  }
  EXPECT_EQ(metrics().restarts.at("server-error"), 3U);
  EXPECT_THAT(metrics().last_error, HasSubstr("500: no protobuf at all"));
  http.answer(200, pod_list({}, 55));
  EXPECT_THAT(http.target(), HasSubstr("resourceVersion=50&"));
}

TEST_F(KubeReflector, StorePutBackBehindServerErrorsIsNoticed) {
  begin_watch();
  http.body(watch_frame("BOOKMARK", kube_pod("", 50)));
  http.end();
  http.answer(503, "no server", "text/plain");
  timers.advance(milliseconds(100));
  http.answer(200, pod_list({}, 40));
  timers.advance(seconds(1));
  EXPECT_EQ(http.target(), "/api/v1/pods?limit=500");
  EXPECT_EQ(metrics().restarts.at("history"), 1U);
}

TEST_F(KubeReflector, LostWatchChecksTheHistoryAndGoesOnFromItsVersion) {
  begin_watch();
  http.body(watch_frame("ADDED", kube_pod("c", 60)));
  http.lose();
  timers.advance(milliseconds(100));
  EXPECT_EQ(http.target(), "/api/v1/pods?limit=1");

  http.answer(200, pod_list({kube_pod("a", 1)}, 61, "more"));

  EXPECT_THAT(http.target(), HasSubstr("watch=1"));
  EXPECT_THAT(http.target(), HasSubstr("resourceVersion=60&"));
  EXPECT_THAT(changes, ElementsAre("+c@n1"));
  EXPECT_THAT(metrics().last_error, HasSubstr("scripted loss"));
  http.head(200);
  EXPECT_EQ(metrics().last_error, "");
}

TEST_F(KubeReflector, HistoryThatWentBackListsAgain) {
  begin_watch();
  http.lose();
  timers.advance(milliseconds(100));
  http.answer(200, pod_list({kube_pod("a", 1)}, 9, "more"));
  timers.advance(seconds(1));
  EXPECT_EQ(http.target(), "/api/v1/pods?limit=500");

  http.answer(200, pod_list({kube_pod("a", 1)}, 9));

  EXPECT_THAT(changes, ElementsAre("-b"));
  EXPECT_EQ(metrics().restarts.at("history"), 1U);
  EXPECT_THAT(http.target(), HasSubstr("resourceVersion=9&"));
}

TEST_F(KubeReflector, ErrorInAWatchChecksTheHistory) {
  begin_watch();
  http.body(watch_frame("ERROR", kube_status(500, "InternalError")));
  timers.advance(milliseconds(100));
  EXPECT_EQ(http.target(), "/api/v1/pods?limit=1");
}

TEST_F(KubeReflector, EventOfAnOlderVersionListsAgain) {
  begin_watch();
  http.body(watch_frame("ADDED", kube_pod("c", 9)));
  timers.advance(milliseconds(100));

  EXPECT_EQ(http.target(), "/api/v1/pods?limit=500");
  EXPECT_THAT(changes, IsEmpty());
}

TEST_F(KubeReflector, VersionThatTheServerDoesNotKnowYetListsAgain) {
  begin_watch();
  kube::Status status = kube_status(504, "Timeout", "Too large resource version: 10, current: 5");
  http.body(watch_frame("ERROR", status));
  timers.advance(milliseconds(100));

  EXPECT_EQ(http.target(), "/api/v1/pods?limit=500");
  EXPECT_EQ(metrics().restarts.at("history"), 1U);
}

TEST_F(KubeReflector, SilentWatchIsGivenUp) {
  EXPECT_EQ(http.request().idle_timeout, seconds(60));
  begin_watch();
  EXPECT_EQ(http.request().idle_timeout, seconds(150));
  timers.advance(seconds(150));
  EXPECT_EQ(reflector->lag(), seconds(150));
  http.lose(ErrorCode::kTimeout);

  EXPECT_EQ(metrics().restarts.at("idle"), 1U);
}

TEST_F(KubeReflector, ForbiddenNamesWhatIsForbidden) {
  http.answer(403, envelope(kube_status(403, "Forbidden", "pods is forbidden: cannot list")));

  EXPECT_EQ(metrics().restarts.at("forbidden"), 1U);
  EXPECT_EQ(metrics().last_error,
            "GET /api/v1/pods: 403 Forbidden: pods is forbidden: cannot list");
  EXPECT_EQ(synced, 0);
}

TEST_F(KubeReflector, PageThatTricklesInIsGivenUpInTheEnd) {
  http.head(200);
  for (int i = 0; i < 30; ++i) {
    EXPECT_FALSE(http.idle()) << "after " << i * 10 << " s";
    http.body("x");
    timers.advance(seconds(10));
  }
  EXPECT_TRUE(http.idle());
  EXPECT_EQ(metrics().restarts.at("slow"), 1U);
  timers.advance(milliseconds(100));

  EXPECT_EQ(http.target(), "/api/v1/pods?limit=500");
  http.answer(200, pod_list({kube_pod("a", 1)}, 10));
  EXPECT_THAT(changes, ElementsAre("+a@n1"));
  EXPECT_EQ(timers.waiting(), 0U);
}

}  // namespace
}  // namespace sluice
