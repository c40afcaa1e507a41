// SPDX-License-Identifier: Apache-2.0
// The certificates of the control stream.
#include "operator/stream/certificates.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace sluice {
namespace {

template <auto free>
struct Free {
  template <class T>
  void operator()(T* object) const {
    free(object);
  }
};
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Number = std::unique_ptr<BIGNUM, Free<BN_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>>;
using Time = std::unique_ptr<ASN1_TIME, Free<ASN1_TIME_free>>;

constexpr int kSerialBits = 127;
constexpr long kVersion3 = 2;

Error openssl_error(const std::string& doing) {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return {.code = ErrorCode::kInvalid,
          .sys_errno = 0,
          .context = doing + (reason == nullptr ? std::string{} : std::string(": ") + reason)};
}

Result<Certificate> read_certificate(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!certificate) return fail(openssl_error("read a certificate"));
  return certificate;
}

Result<Key> read_key(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (!key) return fail(openssl_error("read a private key"));
  return key;
}

std::string content(const Bio& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

Result<KeyPair> write(const Certificate& certificate, const Key& key) {
  const Bio certificate_bio(BIO_new(BIO_s_mem()));
  const Bio key_bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(certificate_bio.get(), certificate.get()) != 1 ||
      PEM_write_bio_PrivateKey(key_bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1) {
    return fail(openssl_error("write a certificate"));
  }
  return KeyPair{.certificate_pem = content(certificate_bio), .key_pem = content(key_bio)};
}

bool add_extension(X509* certificate, X509* issuer, int id, const char* value) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, id, value));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool set_time(const ASN1_TIME* to, CertificateTime time) {
  return ASN1_TIME_set(const_cast<ASN1_TIME*>(to), time.time_since_epoch().count()) != nullptr;
}

// Serial number, name and life; without key and extensions.
Result<Certificate> blank(const std::string& name, const Validity& life) {
  Certificate certificate(X509_new());
  const Number serial(BN_new());
  if (!certificate || !serial ||
      BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) == nullptr) {
    return fail(openssl_error("make a certificate"));
  }
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  const auto* text = reinterpret_cast<const unsigned char*>(name.data());
  if (X509_set_version(certificate.get(), kVersion3) != 1 ||
      !set_time(X509_get0_notBefore(certificate.get()), life.from) ||
      !set_time(X509_get0_notAfter(certificate.get()), life.until) ||
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, text, static_cast<int>(name.size()),
                                 -1, 0) != 1) {
    return fail(openssl_error("make a certificate"));
  }
  return certificate;
}

Result<KeyPair> make_authority(const CertificateTimes& times, CertificateTime now) {
  const Key key(EVP_EC_gen("P-256"));
  // Two authorities that are both trusted must differ in name, or chains are looked for in vain.
  auto certificate =
      blank("sluice control stream " + std::to_string(now.time_since_epoch().count()),
            {.from = now - times.skew, .until = now + times.authority});
  if (!certificate) return fail(certificate.error());
  X509* x509 = certificate->get();
  if (!key || X509_set_pubkey(x509, key.get()) != 1 ||
      X509_set_issuer_name(x509, X509_get_subject_name(x509)) != 1 ||
      !add_extension(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !add_extension(x509, x509, NID_key_usage, "critical,keyCertSign") ||
      !add_extension(x509, x509, NID_subject_key_identifier, "hash") ||
      X509_sign(x509, key.get(), EVP_sha256()) == 0) {
    return fail(openssl_error("make an authority"));
  }
  return write(*certificate, key);
}

Result<CertificateTime> time_of(const ASN1_TIME* time) {
  const Time epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0;
  int seconds = 0;
  if (ASN1_TIME_diff(&days, &seconds, epoch.get(), time) != 1)
    return fail(openssl_error("read a certificate's life"));
  return CertificateTime(std::chrono::days(days) + std::chrono::seconds(seconds));
}

Result<Validity> validity_of(const Certificate& certificate) {
  const auto from = time_of(X509_get0_notBefore(certificate.get()));
  const auto until = time_of(X509_get0_notAfter(certificate.get()));
  if (!from) return fail(from.error());
  if (!until) return fail(until.error());
  return Validity{.from = *from, .until = *until};
}

bool is_old(const Validity& life, CertificateTime now) {
  return now >= life.from + (life.until - life.from) * 2 / 3;
}

Result<const KeyPair*> signing(const Authorities& authorities, const CertificateTimes& times,
                               CertificateTime now) {
  if (authorities.list.empty()) return fail(ErrorCode::kInvalid, "there is no authority");
  const KeyPair* found = &authorities.list.front();
  for (const KeyPair& authority : authorities.list) {
    const auto life = validity(authority.certificate_pem);
    if (!life) return fail(life.error());
    if (life->from + times.skew + times.notice <= now) found = &authority;
  }
  return found;
}

}  // namespace

Result<Validity> validity(const std::string& certificate_pem) {
  const auto certificate = read_certificate(certificate_pem);
  if (!certificate) return fail(certificate.error());
  return validity_of(*certificate);
}

Result<Authorities> renew(Authorities authorities, const CertificateTimes& times,
                          CertificateTime now) {
  Authorities renewed;
  bool fresh = false;
  for (size_t i = 0; i < authorities.list.size(); ++i) {
    const auto life = validity(authorities.list[i].certificate_pem);
    if (!life) return fail(within("authority " + std::to_string(i + 1), life.error()));
    if (life->until <= now) continue;
    fresh = !is_old(*life, now);
    renewed.list.push_back(std::move(authorities.list[i]));
  }
  if (fresh) return renewed;
  auto authority = make_authority(times, now);
  if (!authority) return fail(authority.error());
  renewed.list.push_back(std::move(*authority));
  return renewed;
}

std::string bundle(const Authorities& authorities) {
  std::string pem;
  for (const KeyPair& authority : authorities.list) pem += authority.certificate_pem;
  return pem;
}

Result<KeyPair> issue(const Authorities& authorities, const CertificateTimes& times,
                      CertificateTime now) {
  const auto authority = signing(authorities, times, now);
  if (!authority) return fail(authority.error());
  const auto issuer = read_certificate((*authority)->certificate_pem);
  const auto issuer_key = read_key((*authority)->key_pem);
  if (!issuer) return fail(issuer.error());
  if (!issuer_key) return fail(issuer_key.error());
  const auto life = validity_of(*issuer);
  if (!life) return fail(life.error());
  const Key key(EVP_EC_gen("P-256"));
  auto certificate =
      blank(kControlServerName,
            {.from = now - times.skew, .until = std::min(now + times.server, life->until)});
  if (!certificate) return fail(certificate.error());
  X509* x509 = certificate->get();
  const std::string name = std::string("DNS:") + kControlServerName;
  if (!key || X509_set_pubkey(x509, key.get()) != 1 ||
      X509_set_issuer_name(x509, X509_get_subject_name(issuer->get())) != 1 ||
      !add_extension(x509, issuer->get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(x509, issuer->get(), NID_key_usage, "critical,digitalSignature") ||
      !add_extension(x509, issuer->get(), NID_ext_key_usage, "serverAuth") ||
      !add_extension(x509, issuer->get(), NID_subject_alt_name, name.c_str()) ||
      !add_extension(x509, issuer->get(), NID_authority_key_identifier, "keyid:always") ||
      X509_sign(x509, issuer_key->get(), EVP_sha256()) == 0) {
    return fail(openssl_error("sign a certificate"));
  }
  return write(*certificate, key);
}

Result<bool> is_due(const KeyPair& server, const Authorities& authorities,
                    const CertificateTimes& times, CertificateTime now) {
  const auto certificate = read_certificate(server.certificate_pem);
  if (!certificate) return fail(certificate.error());
  const auto life = validity_of(*certificate);
  if (!life) return fail(life.error());
  if (is_old(*life, now)) return true;
  const auto authority = signing(authorities, times, now);
  if (!authority) return fail(authority.error());
  const auto issuer = read_certificate((*authority)->certificate_pem);
  if (!issuer) return fail(issuer.error());
  return X509_check_issued(issuer->get(), certificate->get()) != X509_V_OK;
}

}  // namespace sluice
