// SPDX-License-Identifier: Apache-2.0
// Who opened a stream.
#include "operator/stream/identity.h"

#include <algorithm>
#include <cctype>

namespace sluice {
namespace {

// Set by API servers from 1.32 on for tokens that are bound to a pod.
constexpr const char* kNodeName = "authentication.kubernetes.io/node-name";
constexpr std::string_view kBearer = "bearer ";

}  // namespace

Status check_account(const TokenReview& review, const IdentityRules& rules) {
  if (!review.authenticated) {
    return fail(ErrorCode::kPermission,
                "the token is not valid" + (review.error.empty() ? "" : ": " + review.error));
  }
  const auto& audiences = review.audiences;
  if (std::find(audiences.begin(), audiences.end(), rules.audience) == audiences.end())
    return fail(ErrorCode::kPermission, "the token is not for audience " + rules.audience);
  if (review.username != rules.username) {
    return fail(ErrorCode::kPermission,
                "the token is of " + review.username + ", not of " + rules.username);
  }
  return {};
}

Status check_node(const TokenReview& review, std::string_view node_name) {
  const auto node = review.extra.find(kNodeName);
  if (node == review.extra.end() || node->second.size() != 1 || node->second[0].empty()) {
    return fail(ErrorCode::kPermission,
                "the token is bound to no node: it has to be a projected token of a pod, from an "
                "API server of 1.32 or later");
  }
  if (node->second[0] != node_name) {
    return fail(ErrorCode::kPermission, "the token is bound to node " + node->second[0] +
                                            ", the agent says it is node " +
                                            std::string(node_name));
  }
  return {};
}

std::string bearer_token(std::string_view authorization) {
  if (authorization.size() <= kBearer.size()) return {};
  const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  if (!std::equal(kBearer.begin(), kBearer.end(), authorization.begin(),
                  [&](char want, char have) { return same(have, want); })) {
    return {};
  }
  return std::string(authorization.substr(kBearer.size()));
}

}  // namespace sluice
