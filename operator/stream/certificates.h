// SPDX-License-Identifier: Apache-2.0
// The certificates of the control stream: a small authority of our own, the certificates that it
// signs for operators, and when each of them is replaced. No clock, no I/O; keys come from
// OpenSSL's generator.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "lib/result/result.h"

namespace sluice {

// The name that every operator's certificate has and every agent expects, whatever the address.
inline constexpr const char* kControlServerName = "sluice-operator";

using CertificateTime = std::chrono::sys_seconds;

struct KeyPair {
  std::string certificate_pem{};
  std::string key_pem{};

  bool operator==(const KeyPair&) const = default;
};

struct Validity {
  CertificateTime from{};
  CertificateTime until{};
};

struct CertificateTimes {
  std::chrono::seconds authority = std::chrono::days(365);
  std::chrono::seconds server = std::chrono::days(30);
  // How long agents are given to learn of a new authority before it signs.
  std::chrono::seconds notice = std::chrono::days(1);
  // Clocks that are behind ours by this much believe a new certificate.
  std::chrono::seconds skew = std::chrono::minutes(65);
};

// What the operators share (a Secret), oldest first. All are trusted.
struct Authorities {
  std::vector<KeyPair> list{};

  bool operator==(const Authorities&) const = default;
};

// The authorities as they have to be now: the first where there is none, another once two thirds of
// the newest one's life are over, none that has expired. Where nothing is due, the same as before.
// Errors: kInvalid names the certificate that cannot be read.
Result<Authorities> renew(Authorities authorities, const CertificateTimes& times,
                          CertificateTime now);
// What agents trust: the certificates of all of them. No keys.
std::string bundle(const Authorities& authorities);

// A certificate for an operator. The newest authority signs that agents have had notice of; where
// there is none, the oldest.
Result<KeyPair> issue(const Authorities& authorities, const CertificateTimes& times,
                      CertificateTime now);
// Whether it is time for another: two thirds of its life are over, or another authority signs now.
Result<bool> is_due(const KeyPair& server, const Authorities& authorities,
                    const CertificateTimes& times, CertificateTime now);

Result<Validity> validity(const std::string& certificate_pem);

}  // namespace sluice
