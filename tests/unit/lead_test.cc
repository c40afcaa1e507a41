// SPDX-License-Identifier: Apache-2.0
// Who leads: the Lease as several replicas see it, with time by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "operator/lead/election.h"
#include "tests/unit/kube_fakes.h"

namespace sluice {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr const char* kJson = "application/json";
constexpr const char* kLease = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/op";
constexpr const char* kLeases = "/apis/coordination.k8s.io/v1/namespaces/ns/leases";
constexpr const char* kConflict = R"({"kind":"Status","reason":"Conflict","code":409})";

class ElectionTest : public testing::Test {
 protected:
  ElectionTest()
      : api(http, timers, *Credentials::open({.servers = {"https://a:1"}}), [] { return 0.0; },
            {.backoff = {.first = milliseconds(100), .longest = milliseconds(1000)},
             .deadline = milliseconds(4000)}),
        election(api, timers, {.namespace_name = "ns", .name = "op", .identity = "me"},
                 {.on_lead = [this] { ++terms; },
                  .on_lost = [this](const std::string& reason) { lost = reason; },
                  .unix_us = [this] { return unix_us; },
                  .random = [] { return 0.0; }}) {
    election.start();
  }

  static std::string lease(const std::string& holder, int version,
                           const std::string& renewed = "2026-01-01T00:00:00.000000Z") {
    return json{{"apiVersion", "coordination.k8s.io/v1"},
                {"kind", "Lease"},
                {"metadata",
                 {{"name", "op"},
                  {"namespace", "ns"},
                  {"labels", {{"kept", "yes"}}},
                  {"resourceVersion", std::to_string(version)}}},
                {"spec",
                 {{"holderIdentity", holder},
                  {"leaseDurationSeconds", 15},
                  {"acquireTime", renewed},
                  {"renewTime", renewed},
                  {"leaseTransitions", 3},
                  {"strategy", "kept too"}}}}
        .dump();
  }
  json sent() const { return json::parse(http.request().body); }
  // The server takes what was sent, as its next version.
  void accept(int version) {
    json object = sent();
    object["metadata"]["resourceVersion"] = std::to_string(version);
    http.answer(200, object.dump(), kJson);
  }
  void lead() {
    http.answer(404, "{}", kJson);
    accept(1);
    ASSERT_TRUE(election.leads());
  }

  ScriptedHttp http;
  ManualTimers timers;
  ApiClient api;
  int terms = 0;
  std::string lost;
  int64_t unix_us = 1'767'225'600'000'123;
  Election election;
};

TEST_F(ElectionTest, LeaseThatIsAbsentIsMadeAndHeld) {
  EXPECT_EQ(http.target(), kLease);
  http.answer(404, "{}", kJson);

  EXPECT_EQ(http.request().method, "POST");
  EXPECT_EQ(http.target(), kLeases);
  EXPECT_EQ(sent()["metadata"]["name"], "op");
  EXPECT_EQ(sent()["spec"]["holderIdentity"], "me");
  EXPECT_EQ(sent()["spec"]["leaseDurationSeconds"], 15);
  EXPECT_EQ(sent()["spec"]["renewTime"], "2026-01-01T00:00:00.000123Z");
  EXPECT_FALSE(election.leads());
  accept(1);
  EXPECT_TRUE(election.leads());
  EXPECT_EQ(terms, 1);
}

TEST_F(ElectionTest, WhoeverIsSecondToMakeItDoesNotLead) {
  http.answer(404, "{}", kJson);
  http.answer(409, kConflict, kJson);

  EXPECT_FALSE(election.leads());
  timers.advance(milliseconds(2000));
  http.answer(200, lease("other", 1), kJson);
  EXPECT_FALSE(election.leads());
  EXPECT_TRUE(http.idle());
  EXPECT_EQ(election.holder(), "other");
}

TEST_F(ElectionTest, LeaseThatIsRenewedIsLeftAlone) {
  for (int i = 0; i < 20; ++i) {
    http.answer(200, lease("other", i + 1, "2026-01-01T00:00:" + std::to_string(10 + i) + "Z"),
                kJson);
    EXPECT_TRUE(http.idle()) << i;
    timers.advance(milliseconds(2000));
  }

  EXPECT_FALSE(election.leads());
}

TEST_F(ElectionTest, LeaseThatNobodyRenewsIsTakenAfterItsDuration) {
  http.answer(200, lease("other", 7), kJson);
  for (int i = 0; i < 7; ++i) {
    timers.advance(milliseconds(2000));
    http.answer(200, lease("other", 7), kJson);
    ASSERT_TRUE(http.idle()) << "14 s are less than 15";
  }
  timers.advance(milliseconds(2000));
  http.answer(200, lease("other", 7), kJson);

  EXPECT_EQ(http.request().method, "PUT");
  EXPECT_EQ(http.target(), kLease);
  EXPECT_EQ(sent()["metadata"]["resourceVersion"], "7");
  EXPECT_EQ(sent()["metadata"]["labels"]["kept"], "yes");
  EXPECT_EQ(sent()["spec"]["strategy"], "kept too");
  EXPECT_EQ(sent()["spec"]["holderIdentity"], "me");
  EXPECT_EQ(sent()["spec"]["leaseTransitions"], 4);
  accept(8);
  EXPECT_TRUE(election.leads());
}

TEST_F(ElectionTest, ClockOfTheHolderSaysNothing) {
  // An hour in the past: a lease that ended long ago, by our clock. An hour in the future: the
  // same.
  for (const char* renewed : {"2025-12-31T23:00:00Z", "2026-01-01T01:00:00Z"}) {
    http.answer(200, lease("other", 1, renewed), kJson);
    EXPECT_TRUE(http.idle()) << renewed;
    timers.advance(milliseconds(2000));
  }
  for (int i = 0; i < 7; ++i) {
    http.answer(200, lease("other", 1, "2026-01-01T01:00:00Z"), kJson);
    EXPECT_TRUE(http.idle()) << i;
    timers.advance(milliseconds(2000));
  }
  http.answer(200, lease("other", 1, "2026-01-01T01:00:00Z"), kJson);
  EXPECT_EQ(http.request().method, "PUT");
}

TEST_F(ElectionTest, OurOwnClockThatJumpsChangesNothing) {
  lead();
  unix_us -= 3'600'000'000;
  for (int i = 0; i < 10; ++i) {
    timers.advance(milliseconds(2000));
    http.answer(200, lease("me", i + 1), kJson);
    accept(i + 2);
    EXPECT_TRUE(election.leads()) << i;
  }
  EXPECT_EQ(terms, 1);
}

TEST_F(ElectionTest, LeaderThatCannotRenewStopsBeforeAnybodyMayTakeIt) {
  lead();
  const auto begin = timers.now();
  while (election.leads() && timers.now() < begin + seconds(60)) {
    if (!http.idle()) http.lose();
    timers.advance(milliseconds(100));
  }

  EXPECT_EQ(timers.now() - begin, seconds(10));
  EXPECT_THAT(lost, HasSubstr("could not be renewed for 10 s"));
}

TEST_F(ElectionTest, AnswerThatComesTooLateDoesNotLead) {
  http.answer(404, "{}", kJson);
  // What counts is when it was asked, not when it was answered.
  timers.advance(milliseconds(3900));
  accept(1);
  ASSERT_TRUE(election.leads());
  timers.advance(milliseconds(5900));
  http.answer(200, lease("me", 1), kJson);

  EXPECT_TRUE(election.leads()) << "9.8 s since the renewal began";
  timers.advance(milliseconds(200));
  EXPECT_FALSE(election.leads());
}

TEST_F(ElectionTest, ConflictWhileRenewingIsLookedAtAgain) {
  lead();
  timers.advance(milliseconds(2000));
  http.answer(200, lease("me", 1), kJson);
  http.answer(409, kConflict, kJson);

  EXPECT_TRUE(election.leads()) << "somebody set a label";
  timers.advance(milliseconds(2000));
  http.answer(200, lease("me", 5), kJson);
  EXPECT_EQ(sent()["metadata"]["resourceVersion"], "5");
  accept(6);
  EXPECT_TRUE(election.leads());
}

TEST_F(ElectionTest, LeaderWhoseLeaseWasTakenStopsAtOnce) {
  lead();
  timers.advance(milliseconds(2000));
  http.answer(200, lease("other", 2), kJson);

  EXPECT_FALSE(election.leads());
  EXPECT_EQ(lost, "other has taken the Lease");
  EXPECT_TRUE(http.idle());
}

TEST_F(ElectionTest, ReleaseLeavesTheLeaseToAnybody) {
  lead();
  bool done = false;

  election.release([&] { done = true; });

  EXPECT_FALSE(election.leads());
  EXPECT_EQ(http.request().method, "PUT");
  EXPECT_EQ(sent()["spec"]["holderIdentity"], "");
  EXPECT_EQ(sent()["spec"]["leaseDurationSeconds"], 1);
  EXPECT_FALSE(done);
  accept(2);
  EXPECT_TRUE(done);
  timers.advance(seconds(60));
  EXPECT_TRUE(http.idle());
}

TEST_F(ElectionTest, ReleaseWaitsForTheRenewalThatIsUnderWay) {
  lead();
  timers.advance(milliseconds(2000));
  http.answer(200, lease("me", 1), kJson);
  bool done = false;

  election.release([&] { done = true; });
  accept(2);  // the renewal

  EXPECT_EQ(sent()["metadata"]["resourceVersion"], "2");
  EXPECT_EQ(sent()["spec"]["holderIdentity"], "");
  http.answer(409, kConflict, kJson);
  EXPECT_TRUE(done) << "others wait for the end of it";
}

TEST_F(ElectionTest, WhoDoesNotLeadReleasesNothing) {
  http.answer(200, lease("other", 1), kJson);
  bool done = false;

  election.release([&] { done = true; });

  EXPECT_TRUE(done);
  timers.advance(seconds(60));
  EXPECT_TRUE(http.idle());
}

TEST_F(ElectionTest, LeaseThatWasReleasedIsTakenAtOnce) {
  http.answer(200, lease("", 4), kJson);

  EXPECT_EQ(sent()["spec"]["holderIdentity"], "me");
  accept(5);
  EXPECT_TRUE(election.leads());
}

TEST_F(ElectionTest, RefusalIsNamedAndTriedAgain) {
  http.answer(403, R"({"kind":"Status","reason":"Forbidden","message":"no leases for you"})",
              kJson);

  EXPECT_THAT(election.problem(), HasSubstr("403 Forbidden: no leases for you"));
  timers.advance(milliseconds(2000));
  EXPECT_FALSE(http.idle());
}

TEST(LeaseTime, IsUtcWithMicroseconds) {
  EXPECT_EQ(micro_time(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(micro_time(1'767'225'600'000'123), "2026-01-01T00:00:00.000123Z");
}

}  // namespace
}  // namespace sluice
