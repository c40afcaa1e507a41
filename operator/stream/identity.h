// SPDX-License-Identifier: Apache-2.0
// Who opened a stream: the API server reviews its token, and the token has to be of the agent that
// runs on the node it speaks for.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lib/result/result.h"

namespace sluice {

// status of an authentication.k8s.io/v1 TokenReview.
struct TokenReview {
  bool authenticated = false;
  std::string error{};
  std::string username{};
  std::vector<std::string> audiences{};
  std::map<std::string, std::vector<std::string>> extra{};
};

// Asks the API server. Implementations may answer from any thread, also from inside review, once.
class TokenReviewer {
 public:
  virtual ~TokenReviewer() = default;
  // Errors: the API server could not be asked (kUnavailable): says nothing about the token.
  virtual void review(const std::string& token, const std::string& audience,
                      std::function<void(Result<TokenReview>)> done) = 0;
};

struct IdentityRules {
  std::string audience = "sluice-operator";
  std::string username = "system:serviceaccount:kube-system:sluice-agent";
};

// Is it an agent's token? Is it that of the agent on this node? kPermission says what does not
// hold, without a word of the token.
Status check_account(const TokenReview& review, const IdentityRules& rules);
Status check_node(const TokenReview& review, std::string_view node_name);

// "Bearer abc" -> "abc"; empty where it is another scheme.
std::string bearer_token(std::string_view authorization);

}  // namespace sluice
