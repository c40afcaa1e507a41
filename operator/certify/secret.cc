// SPDX-License-Identifier: Apache-2.0
// The authorities of the control stream as a Secret, and what agents trust as a ConfigMap.
#include "operator/certify/secret.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <yaml-cpp/binary.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

namespace sluice {
namespace {

using nlohmann::json;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
struct FreeCertificate {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

std::unique_ptr<BIO, FreeBio> reader(const std::string& pem) {
  return std::unique_ptr<BIO, FreeBio>(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

bool belong_together(const KeyPair& pair) {
  const std::unique_ptr<X509, FreeCertificate> certificate(
      PEM_read_bio_X509(reader(pair.certificate_pem).get(), nullptr, nullptr, nullptr));
  const std::unique_ptr<EVP_PKEY, FreeKey> key(
      PEM_read_bio_PrivateKey(reader(pair.key_pem).get(), nullptr, nullptr, nullptr));
  const bool good = certificate && key && X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  return good;
}

// Each block from its BEGIN line to its END line. What is around them must be blank.
std::vector<std::string> pem_blocks(const std::string& text, bool& clean) {
  std::vector<std::string> blocks;
  size_t at = 0;
  clean = true;
  while (true) {
    const size_t begin = text.find("-----BEGIN ", at);
    const std::string between = text.substr(at, begin == text.npos ? text.npos : begin - at);
    if (between.find_first_not_of(" \r\n\t") != between.npos) clean = false;
    if (begin == text.npos) return blocks;
    const size_t end_line = text.find("-----END ", begin);
    const size_t end = end_line == text.npos ? text.npos : text.find("-----", end_line + 9);
    if (end == text.npos) {
      clean = false;
      return blocks;
    }
    blocks.push_back(text.substr(begin, end + 5 - begin) + "\n");
    at = end + 5;
  }
}

class SecretReader {
 public:
  SecretReader(const json& object, const ObjectName& name) : object_(object), name_(name) {}

  std::vector<std::string> blocks(const char* key) {
    const auto data = object_.find("data");
    if (data == object_.end() || !data->is_object() || !data->contains(key) ||
        !data->at(key).is_string()) {
      wrong(key, "is missing");
      return {};
    }
    const std::vector<unsigned char> bytes = YAML::DecodeBase64(data->at(key).get<std::string>());
    bool clean = false;
    auto found = pem_blocks(std::string(bytes.begin(), bytes.end()), clean);
    if (!clean || found.empty()) wrong(key, "is not base64 of PEM blocks");
    return found;
  }
  void wrong(const char* key, const std::string& what) {
    if (problem_.empty()) {
      problem_ = "Secret " + name_.namespace_name + "/" + name_.name + ": data." + key + ": " +
                 what +
                 "; it is left as it is: mend it, or delete it and every agent has to be "
                 "given the new authorities";
    }
  }
  Status result() const {
    if (problem_.empty()) return {};
    return fail(ErrorCode::kInvalid, problem_);
  }

 private:
  const json& object_;
  const ObjectName& name_;
  std::string problem_;
};

json object_or_new(std::string_view text, const ObjectName& name, const char* kind) {
  json object = json::parse(text, nullptr, false);
  if (object.is_object()) return object;
  return {{"apiVersion", "v1"},
          {"kind", kind},
          {"metadata", {{"namespace", name.namespace_name}, {"name", name.name}}}};
}

std::string base64(const std::string& text) {
  return YAML::EncodeBase64(reinterpret_cast<const unsigned char*>(text.data()), text.size());
}

}  // namespace

Result<Authorities> parse_authorities(std::string_view text, const ObjectName& name) {
  const json object = json::parse(text, nullptr, false);
  SecretReader secret(object, name);
  const auto certificates = secret.blocks(kAuthoritiesCertificates);
  const auto keys = secret.blocks(kAuthoritiesKeys);
  if (certificates.size() != keys.size()) {
    secret.wrong(kAuthoritiesKeys, "has " + std::to_string(keys.size()) + " keys for " +
                                       std::to_string(certificates.size()) + " certificates");
  }
  if (auto read = secret.result(); !read) return fail(read.error());
  Authorities authorities;
  for (size_t i = 0; i < keys.size(); ++i) {
    authorities.list.push_back({.certificate_pem = certificates[i], .key_pem = keys[i]});
    const auto life = validity(certificates[i]);
    const std::string number = std::to_string(i + 1);
    if (!life) {
      secret.wrong(kAuthoritiesCertificates,
                   "certificate " + number + ": " + life.error().message());
    } else if (!belong_together(authorities.list.back())) {
      secret.wrong(kAuthoritiesKeys, "key " + number + " is not that of certificate " + number);
    }
  }
  if (auto read = secret.result(); !read) return fail(read.error());
  return authorities;
}

std::string authorities_body(std::string_view text, const ObjectName& name,
                             const Authorities& authorities) {
  json object = object_or_new(text, name, "Secret");
  std::string keys;
  for (const KeyPair& authority : authorities.list) keys += authority.key_pem;
  object["data"][kAuthoritiesCertificates] = base64(bundle(authorities));
  object["data"][kAuthoritiesKeys] = base64(keys);
  return object.dump();
}

std::string published_bundle(std::string_view text) {
  const json object = json::parse(text, nullptr, false);
  const json::json_pointer place(std::string("/data/") + kTrustedAuthorities);
  if (!object.is_object() || !object.contains(place) || !object.at(place).is_string()) return {};
  return object.at(place).get<std::string>();
}

std::string bundle_body(std::string_view text, const ObjectName& name, const std::string& pem) {
  json object = object_or_new(text, name, "ConfigMap");
  object["data"][kTrustedAuthorities] = pem;
  return object.dump();
}

}  // namespace sluice
