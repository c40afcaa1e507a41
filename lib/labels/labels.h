// SPDX-License-Identifier: Apache-2.0
// Syntax of Kubernetes names and labels, so that what is built from them (identities, metrics)
// stays unambiguous.
#pragma once

#include <string_view>

namespace sluice {

// Lower-case letters, digits and '-', not at the ends; 1..63 bytes (RFC 1123). Names of namespaces.
bool is_dns_label(std::string_view text);
// DNS labels joined by '.', at most 253 bytes. Names of pods and nodes.
bool is_dns_subdomain(std::string_view text);
// "app" or "example.com/app": the name has 1..63 bytes of letters, digits, '-', '_', '.', with a
// letter or digit at its ends.
bool is_label_key(std::string_view text);
// Empty, or as the name of a key.
bool is_label_value(std::string_view text);

}  // namespace sluice
