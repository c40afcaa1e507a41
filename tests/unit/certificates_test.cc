// SPDX-License-Identifier: Apache-2.0
// Which authority and which certificate there is at which time.
#include "operator/stream/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using std::chrono::days;

const CertificateTime kStart{std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}};

TEST(Certificates, TheFirstAuthorityIsMadeAndStaysWhileItIsYoung) {
  const auto first = renew({}, {}, kStart);
  ASSERT_TRUE(first) << first.error().message();
  ASSERT_EQ(first->list.size(), 1U);
  const auto life = validity(first->list[0].certificate_pem);
  EXPECT_EQ(life->from, kStart - CertificateTimes{}.skew);
  EXPECT_EQ(life->until, kStart + days(365));

  EXPECT_EQ(*renew(*first, {}, kStart + days(200)), *first);
}

// The whole life of two authorities: what signs is always trusted, also by who learns a day late.
TEST(Certificates, WhatSignsHasBeenTrustedForANotice) {
  Authorities authorities;
  KeyPair server;
  std::string yesterday;
  size_t changes = 0;
  for (int day = 0; day < 500; ++day) {
    const CertificateTime now = kStart + days(day);
    authorities = *renew(authorities, {}, now);
    ASSERT_LE(authorities.list.size(), 2U);
    if (server.key_pem.empty() || *is_due(server, authorities, {}, now)) {
      server = *issue(authorities, {}, now);
      ++changes;
      const auto life = validity(server.certificate_pem);
      ASSERT_GT(life->until, now + days(1));
    }
    ASSERT_GT(validity(server.certificate_pem)->until, now);
    // One of the authorities that yesterday's bundle had signed it.
    Authorities known = authorities;
    std::erase_if(known.list, [&](const KeyPair& authority) {
      return !yesterday.empty() && yesterday.find(authority.certificate_pem) == std::string::npos;
    });
    ASSERT_FALSE(known.list.empty());
    bool trusted = false;
    for (const auto& authority : known.list)
      trusted = trusted ||
                !*is_due(server, {.list = {authority}}, {}, validity(server.certificate_pem)->from);
    ASSERT_TRUE(trusted) << "day " << day;
    yesterday = bundle(authorities);
  }
  EXPECT_GT(changes, 20U);  // every 20 days
  EXPECT_LT(changes, 32U);
}

TEST(Certificates, AnExpiredAuthorityGoesAndACorruptOneIsNamed) {
  const auto first = *renew({}, {}, kStart);
  const auto later = *renew(first, {}, kStart + days(400));
  ASSERT_EQ(later.list.size(), 1U);
  EXPECT_NE(later, first);

  const auto corrupt = renew({.list = {{.certificate_pem = "x"}}}, {}, kStart);
  ASSERT_FALSE(corrupt);
  EXPECT_THAT(corrupt.error().message(), testing::HasSubstr("authority 1: read a certificate"));
  EXPECT_FALSE(issue({}, {}, kStart));
}

TEST(Certificates, NoCertificateOutlivesItsAuthority) {
  const CertificateTimes times{.authority = days(10), .server = days(30)};
  const auto authorities = *renew({}, times, kStart);

  const auto server = issue(authorities, times, kStart + days(1));

  ASSERT_TRUE(server);
  EXPECT_EQ(validity(server->certificate_pem)->until, kStart + days(10));
  EXPECT_EQ(bundle(authorities).find("PRIVATE"), std::string::npos);
}

}  // namespace
}  // namespace sluice
