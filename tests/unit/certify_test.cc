// SPDX-License-Identifier: Apache-2.0
// The authorities' Secret and ConfigMap as the leader and the others handle them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/binary.h>

#include <nlohmann/json.hpp>

#include "operator/certify/certifier.h"
#include "tests/unit/kube_fakes.h"

namespace sluice {
namespace {

using nlohmann::json;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr const char* kJson = "application/json";
constexpr const char* kSecret = "/api/v1/namespaces/ns/secrets/auth";
constexpr const char* kConfigMap = "/api/v1/namespaces/ns/configmaps/trust";
constexpr const char* kConflict = R"({"kind":"Status","reason":"Conflict","code":409})";
const ObjectName kSecretName{.namespace_name = "ns", .name = "auth"};
const CertificateTime kStart{std::chrono::sys_days(std::chrono::year(2026) / 1 / 1)};

std::string base64(const std::string& text) {
  return YAML::EncodeBase64(reinterpret_cast<const unsigned char*>(text.data()), text.size());
}

class CertifierTest : public testing::Test {
 protected:
  CertifierTest()
      : api(http, timers, *Credentials::open({.servers = {"https://a:1"}}), [] { return 0.0; }, {}),
        certifier(api, timers,
                  {.secret = kSecretName,
                   .config_map = {.namespace_name = "ns", .name = "trust"},
                   .backoff = {.first = milliseconds(1000), .longest = milliseconds(4000)}},
                  {.leads = [this] { return leads; },
                   .now = [this] { return now; },
                   .use =
                       [this](const KeyPair& pair) {
                         used.push_back(pair);
                         return Status();
                       },
                   .random = [] { return 0.0; }}) {}

  static std::string with_version(const std::string& object, int version) {
    json changed = json::parse(object);
    changed["metadata"]["resourceVersion"] = std::to_string(version);
    return changed.dump();
  }
  std::string secret(const Authorities& authorities, int version = 1) const {
    return with_version(authorities_body("", kSecretName, authorities), version);
  }
  json sent() const { return json::parse(http.request().body); }
  void accept(int version) { http.answer(200, with_version(http.request().body, version), kJson); }

  ScriptedHttp http;
  ManualTimers timers;
  ApiClient api;
  bool leads = true;
  CertificateTime now = kStart;
  std::vector<KeyPair> used;
  Certifier certifier;
};

TEST_F(CertifierTest, LeaderMakesAuthoritiesAndPublishesThem) {
  certifier.look();
  EXPECT_EQ(http.target(), kSecret);
  http.answer(404, "{}", kJson);

  EXPECT_EQ(http.request().method, "POST");
  EXPECT_EQ(http.target(), "/api/v1/namespaces/ns/secrets");
  EXPECT_TRUE(used.empty()) << "nothing counts before the server has it";
  accept(1);
  ASSERT_EQ(used.size(), 1U);
  EXPECT_EQ(http.target(), kConfigMap);
  http.answer(404, "{}", kJson);
  EXPECT_EQ(http.request().method, "POST");
  EXPECT_THAT(sent()["data"]["authorities.crt"], HasSubstr("BEGIN CERTIFICATE"));
  EXPECT_THAT(http.request().body, testing::Not(HasSubstr("PRIVATE KEY")));
  accept(1);
  EXPECT_EQ(certifier.problem(), "");
  EXPECT_EQ(certifier.certificate()->until, kStart + hours(24 * 30));
}

TEST_F(CertifierTest, OthersWaitForTheLeader) {
  leads = false;
  certifier.look();
  http.answer(404, "{}", kJson);

  EXPECT_TRUE(http.idle());
  EXPECT_THAT(certifier.problem(), HasSubstr("Secret ns/auth is not there yet"));
  timers.advance(milliseconds(1000));
  http.answer(200, secret(*renew({}, {}, now)), kJson);
  EXPECT_EQ(used.size(), 1U);
  EXPECT_TRUE(http.idle()) << "only the leader publishes";
}

TEST_F(CertifierTest, BecomingTheLeaderNeedsNoPoll) {
  leads = false;
  certifier.look();
  leads = true;
  certifier.look();               // while the first one is under way
  http.answer(404, "{}", kJson);  // by now it leads

  EXPECT_EQ(http.request().method, "POST");
}

TEST_F(CertifierTest, SecondToMakeThemTakesThoseOfTheFirst) {
  const Authorities theirs = *renew({}, {}, now);
  certifier.look();
  http.answer(404, "{}", kJson);
  http.answer(409, kConflict, kJson);

  EXPECT_TRUE(used.empty());
  timers.advance(milliseconds(100));
  http.answer(200, secret(theirs), kJson);
  ASSERT_EQ(used.size(), 1U);
  EXPECT_FALSE(*is_due(used[0], theirs, {}, now)) << "signed by theirs";
}

TEST_F(CertifierTest, GarbageIsNamedAndLeftAlone) {
  const Authorities good = *renew({}, {}, now);
  const Authorities other = *renew({}, {}, now);
  const auto with = [&](const char* key, const json& value) {
    json object = json::parse(secret(good));
    object["data"][key] = value;
    return object.dump();
  };
  json missing = json::parse(secret(good));
  missing["data"].erase("authorities.key");
  const std::pair<std::string, const char*> rows[] = {
      {missing.dump(), "data.authorities.key: is missing"},
      {with("authorities.crt", base64("not PEM")), "data.authorities.crt: is not base64 of PEM"},
      {with("authorities.crt", "%%%"), "data.authorities.crt: is not base64 of PEM"},
      {with("authorities.crt",
            base64("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
       "data.authorities.crt: certificate 1: "},
      {with("authorities.key", base64(good.list[0].key_pem + good.list[0].key_pem)),
       "data.authorities.key: has 2 keys for 1 certificates"},
      {with("authorities.key", base64(other.list[0].key_pem)),
       "data.authorities.key: key 1 is not that of certificate 1"},
      {"[]", "data.authorities.crt: is missing"},
  };
  for (const auto& [body, problem] : rows) {
    certifier.look();
    http.answer(200, body, kJson);

    EXPECT_THAT(certifier.problem(), HasSubstr(std::string("Secret ns/auth: ") + problem));
    EXPECT_TRUE(http.idle()) << problem;
  }
  EXPECT_TRUE(used.empty());
}

TEST_F(CertifierTest, CertificateIsReplacedInTimeAndWhatElseIsInTheObjectsStays) {
  const Authorities authorities = *renew({}, {}, now);
  leads = false;
  certifier.look();
  http.answer(200, secret(authorities), kJson);
  now = kStart + hours(24 * 19);
  timers.advance(milliseconds(30'000));
  http.answer(200, secret(authorities), kJson);
  EXPECT_EQ(used.size(), 1U) << "not before two thirds of its life";
  now = kStart + hours(24 * 21);
  timers.advance(milliseconds(30'000));
  http.answer(200, secret(authorities), kJson);
  EXPECT_EQ(used.size(), 2U);
}

TEST_F(CertifierTest, LeaderAddsTheNextAuthorityAndKeepsTheOldOne) {
  const Authorities first = *renew({}, {}, now);
  now = kStart + hours(24 * 250);
  json object = json::parse(secret(first, 7));
  object["metadata"]["labels"]["kept"] = "yes";
  certifier.look();
  http.answer(200, object.dump(), kJson);

  EXPECT_EQ(http.request().method, "PUT");
  EXPECT_EQ(http.target(), kSecret);
  EXPECT_EQ(sent()["metadata"]["resourceVersion"], "7");
  EXPECT_EQ(sent()["metadata"]["labels"]["kept"], "yes");
  const Authorities both = *parse_authorities(http.request().body, kSecretName);
  ASSERT_EQ(both.list.size(), 2U);
  EXPECT_EQ(both.list[0], first.list[0]);
  accept(8);
  http.answer(
      200,
      R"({"metadata":{"resourceVersion":"3"},"data":{"authorities.crt":"old","other":"kept"}})",
      kJson);
  EXPECT_EQ(http.request().method, "PUT");
  EXPECT_EQ(sent()["metadata"]["resourceVersion"], "3");
  EXPECT_EQ(sent()["data"]["other"], "kept");
  EXPECT_EQ(sent()["data"]["authorities.crt"], bundle(both));
  ASSERT_EQ(used.size(), 1U);
}

TEST_F(CertifierTest, UpdateThatWasLostIsLookedAtAgain) {
  const Authorities first = *renew({}, {}, now);
  now = kStart + hours(24 * 250);
  certifier.look();
  http.answer(200, secret(first, 7), kJson);
  http.answer(409, kConflict, kJson);
  EXPECT_TRUE(used.empty());

  timers.advance(milliseconds(100));
  const Authorities theirs = *renew(first, {}, now);
  http.answer(200, secret(theirs, 8), kJson);

  EXPECT_EQ(http.target(), kConfigMap) << "nothing is due any more";
  http.answer(200, R"({"metadata":{"resourceVersion":"3"}})", kJson);
  EXPECT_EQ(sent()["data"]["authorities.crt"], bundle(theirs));
  http.answer(409, kConflict, kJson);
  timers.advance(milliseconds(100));
  EXPECT_EQ(http.target(), kSecret);
}

TEST_F(CertifierTest, WhatIsPublishedAlreadyIsNotWritten) {
  const Authorities authorities = *renew({}, {}, now);
  certifier.look();
  http.answer(200, secret(authorities), kJson);
  http.answer(200, json{{"data", {{"authorities.crt", bundle(authorities)}}}}.dump(), kJson);

  EXPECT_TRUE(http.idle());
  EXPECT_EQ(certifier.problem(), "");
}

TEST_F(CertifierTest, WithTheApiServerAwayTheCertificateStays) {
  leads = false;
  certifier.look();
  http.answer(200, secret(*renew({}, {}, now)), kJson);
  timers.advance(milliseconds(30'000));
  http.answer(403, R"({"kind":"Status","reason":"Forbidden","message":"no"})", kJson);

  EXPECT_THAT(certifier.problem(), HasSubstr("403 Forbidden"));
  EXPECT_TRUE(certifier.certificate().has_value());
  timers.advance(milliseconds(1000));
  EXPECT_FALSE(http.idle()) << "tried again soon";
}

}  // namespace
}  // namespace sluice
