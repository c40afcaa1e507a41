// SPDX-License-Identifier: Apache-2.0
// The authorities of the control stream as a Secret, and what agents trust as a ConfigMap.
#pragma once

#include <string>
#include <string_view>

#include "lib/result/result.h"
#include "operator/stream/certificates.h"

namespace sluice {

// Keys of the Secret: all certificates, and all private keys in the same order. PEM.
inline constexpr const char* kAuthoritiesCertificates = "authorities.crt";
inline constexpr const char* kAuthoritiesKeys = "authorities.key";
// Key of the ConfigMap, and the name of the file that agents see.
inline constexpr const char* kTrustedAuthorities = "authorities.crt";

struct ObjectName {
  std::string namespace_name{};
  std::string name{};
};

// object: a Secret as the API server gives it, in JSON. kInvalid names Secret and key: missing, not
// base64, not PEM, another number of keys than certificates, a key of another certificate.
Result<Authorities> parse_authorities(std::string_view object, const ObjectName& name);
// The Secret with these authorities: `object` where there is one (its resourceVersion and whatever
// else it has stay), else a new one.
std::string authorities_body(std::string_view object, const ObjectName& name,
                             const Authorities& authorities);

// What the ConfigMap says; empty where it says nothing.
std::string published_bundle(std::string_view object);
std::string bundle_body(std::string_view object, const ObjectName& name, const std::string& pem);

}  // namespace sluice
