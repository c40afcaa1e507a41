// SPDX-License-Identifier: Apache-2.0
// One kind kept equal to the server over scripted HTTP: what is handed on, and what cannot be read.
#include "tests/unit/kube_reflector_fixture.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

TEST_F(KubeReflector, ListsPageByPageThenWatchesFromItsVersion) {
  EXPECT_EQ(http.target(), "/api/v1/pods?limit=500");
  http.answer(200, pod_list({kube_pod("a", 1)}, 10, "to/ken+"));
  EXPECT_EQ(http.target(), "/api/v1/pods?limit=500&continue=to%2Fken%2B");
  EXPECT_EQ(synced, 0);
  http.answer(200, pod_list({kube_pod("b", 2)}, 10));

  EXPECT_THAT(changes, ElementsAre("+a@n1", "+b@n1"));
  EXPECT_EQ(synced, 1);
  EXPECT_EQ(http.target(),
            "/api/v1/pods?watch=1&allowWatchBookmarks=true&resourceVersion=10&timeoutSeconds=300");
}

TEST_F(KubeReflector, HandsOnWhatIsAnotherAndNothingElse) {
  begin_watch();
  kube::Pod same = kube_pod("a", 11);
  // A condition, which is a field that we have not named.
  *same.mutable_status()->mutable_unknown_fields() = "\x12\x07\x0a\x05Ready";

  http.body(watch_frame("MODIFIED", same) + watch_frame("MODIFIED", kube_pod("b", 12, "n2")));
  http.body(watch_frame("ADDED", kube_pod("c", 13)) + watch_frame("DELETED", kube_pod("a", 14)));

  EXPECT_THAT(changes, ElementsAre("+b@n2", "+c@n1", "-a"));
  EXPECT_EQ(metrics().events, 4U);
}

TEST_F(KubeReflector, ResumesFromTheBookmarkAfterTheServersEnd) {
  begin_watch();
  http.body(watch_frame("BOOKMARK", kube_pod("", 50)));
  http.end();

  EXPECT_THAT(http.target(), HasSubstr("resourceVersion=50&"));
  EXPECT_THAT(metrics().restarts, ElementsAre(Pair("ended", 1)));
  EXPECT_THAT(changes, IsEmpty());
}

TEST_F(KubeReflector, ListThatSaysTheSameHandsOnNothing) {
  begin_watch();
  http.body(watch_frame("ERROR", kube_status(410, "Expired")));
  timers.advance(milliseconds(100));

  http.answer(200, pod_list({kube_pod("a", 20), kube_pod("b", 21)}, 30));

  EXPECT_THAT(changes, IsEmpty());
}

TEST_F(KubeReflector, ObjectThatIsWrongKeepsItsLastGoodStateAndTheWatchGoesOn) {
  begin_watch();
  kube::Pod broken = kube_pod("a", 11, "n2");
  broken.mutable_status()->add_podips()->set_ip("nonsense");
  http.body(watch_frame("MODIFIED", broken) + watch_frame("ADDED", kube_pod("c", 12)));

  EXPECT_THAT(changes, ElementsAre("+c@n1"));
  EXPECT_EQ(metrics().decode_errors, 1U);
  ASSERT_EQ(reflector->problems().size(), 1U);
  EXPECT_THAT(to_string(reflector->problems()[0]), HasSubstr("Pod demo/a: status.podIPs[0].ip"));

  http.body(watch_frame("MODIFIED", kube_pod("a", 13, "n3")));
  EXPECT_THAT(changes, ElementsAre("+c@n1", "+a@n3"));
  EXPECT_THAT(reflector->problems(), IsEmpty());
}

TEST_F(KubeReflector, ListedObjectThatIsWrongIsNotTakenForGone) {
  begin_watch();
  http.body(watch_frame("ERROR", kube_status(410, "Expired")));
  timers.advance(milliseconds(100));
  kube::Pod broken = kube_pod("a", 20);
  broken.mutable_status()->add_podips()->set_ip("nonsense");

  http.answer(200, pod_list({broken}, 30));

  EXPECT_THAT(changes, ElementsAre("-b"));
}

TEST_F(KubeReflector, ProblemOfAnObjectGoesWithTheListThatLacksIt) {
  begin_watch();
  kube::Pod broken = kube_pod("c", 11);
  broken.mutable_status()->add_podips()->set_ip("nonsense");
  http.body(watch_frame("ADDED", broken) + watch_frame("ERROR", kube_status(410, "Expired")));
  EXPECT_THAT(reflector->problems(), SizeIs(1));
  timers.advance(milliseconds(100));
  http.answer(200, pod_list({kube_pod("a", 1), kube_pod("b", 2)}, 30));

  EXPECT_THAT(reflector->problems(), IsEmpty());
}

TEST_F(KubeReflector, EventThatCannotBeNamedListsAgain) {
  begin_watch();
  http.body(watch_frame("ADDED", kube_pod("c", 11)) + frame("\x0a\x7f"));
  EXPECT_THAT(changes, ElementsAre("+c@n1")) << "what came before it counts";
  timers.advance(milliseconds(100));

  EXPECT_EQ(http.target(), "/api/v1/pods?limit=500");
  EXPECT_EQ(metrics().decode_errors, 1U);
}

TEST_F(KubeReflector, ListWithANamelessObjectTakesNothingForGone) {
  begin_watch();
  http.body(frame("\x0a\x7f"));
  timers.advance(milliseconds(100));
  http.answer(200, pod_list({kube_pod("a", 20), kube_pod("", 21)}, 30));

  EXPECT_THAT(changes, IsEmpty());
  EXPECT_THAT(http.target(), HasSubstr("watch=1"));
}

TEST_F(KubeReflector, StreamThatLostItsPlaceListsAgain) {
  begin_watch();
  http.body(std::string("\xff\xff\xff\xff", 4));
  timers.advance(milliseconds(100));

  EXPECT_EQ(http.target(), "/api/v1/pods?limit=500");
  EXPECT_EQ(metrics().restarts.at("stream"), 1U);
}

TEST_F(KubeReflector, ListThatDoesNotDecodeIsAskedForAgain) {
  http.answer(200, "<html>");
  timers.advance(milliseconds(100));

  EXPECT_EQ(http.target(), "/api/v1/pods?limit=500");
  EXPECT_EQ(metrics().decode_errors, 1U);
}

class CustomReflector : public KubeReflector {
 protected:
  void SetUp() override { make(custom_kind("IPPool", "sluice.dev/v1alpha1", "ippools")); }
  static constexpr const char* kJson = "application/json";
};

TEST_F(CustomReflector, ReadsJson) {
  EXPECT_EQ(http.target(), "/apis/sluice.dev/v1alpha1/ippools?limit=500");
  http.answer(200, R"({"metadata":{"resourceVersion":"5"},"items":[
      {"metadata":{"name":"a","resourceVersion":"3"},"spec":{"y":1,"x":2}}]})",
              kJson);
  http.head(200, kJson);
  http.body("{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"a\"}}}\n");

  EXPECT_THAT(changes, ElementsAre("+a{\"x\":2,\"y\":1}", "-a"));
}

TEST_F(CustomReflector, KindThatIsNotDefinedHasNoObjectsAndIsLookedForAgain) {
  http.answer(404, "404 page not found", "text/plain");
  EXPECT_EQ(synced, 1);
  timers.advance(seconds(30));

  http.answer(200, R"({"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"a"}}]})",
              kJson);
  EXPECT_THAT(changes, ElementsAre("+a"));
  EXPECT_EQ(synced, 1);
  http.answer(404, "404 page not found", "text/plain");
  timers.advance(seconds(1));
  EXPECT_THAT(http.target(), HasSubstr("limit=500"));
  EXPECT_THAT(changes, ElementsAre("+a")) << "only a list tells that the kind is gone";
  http.answer(404, "404 page not found", "text/plain");
  EXPECT_THAT(changes, ElementsAre("+a", "-a"));
}

TEST_F(CustomReflector, KindThatGoesInTheMiddleOfAListLeavesNothing) {
  http.answer(200, R"({"metadata":{"resourceVersion":"5","continue":"t"},
                       "items":[{"metadata":{"name":"a"}}]})",
              kJson);
  http.answer(404, "404 page not found", "text/plain");

  EXPECT_THAT(changes, ElementsAre("+a", "-a"));
}

}  // namespace
}  // namespace sluice
