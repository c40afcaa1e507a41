// SPDX-License-Identifier: Apache-2.0
// Reviews tokens as an API server of 1.32 does, for those that it issued itself. It answers on a
// thread of its own, or not at all while it is away.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "operator/stream/identity.h"

namespace sluice {

class FakeTokenReviewer final : public TokenReviewer {
 public:
  struct Claims {
    std::string username = IdentityRules{}.username;
    std::string audience = IdentityRules{}.audience;
    std::string node{};  // of the pod that the token is bound to; empty: bound to none
  };

  FakeTokenReviewer() {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }

  std::string issue(const Claims& claims) {
    const std::lock_guard lock(mutex_);
    const std::string token = "token-" + std::to_string(tokens_.size() + 1);
    tokens_[token] = claims;
    return token;
  }
  std::string issue_for(const std::string& node) { return issue(Claims{.node = node}); }
  void set_away(bool away) {
    const std::lock_guard lock(mutex_);
    away_ = away;
  }
  size_t asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

  void review(const std::string& token, const std::string& audience,
              std::function<void(Result<TokenReview>)> done) override {
    {
      const std::lock_guard lock(mutex_);
      ++asked_;
      queue_.emplace_back(
          [answer = answer_to(token, audience), done = std::move(done)] { done(answer); });
    }
    changed_.notify_one();
  }

 private:
  Result<TokenReview> answer_to(const std::string& token, const std::string& audience) const {
    if (away_) return fail(ErrorCode::kUnavailable, "POST tokenreviews: connection refused");
    const auto found = tokens_.find(token);
    if (found == tokens_.end()) return TokenReview{.error = "invalid bearer token"};
    const Claims& claims = found->second;
    if (claims.audience != audience)
      return TokenReview{.error = "token audiences [\"" + claims.audience + "\"] is invalid"};
    TokenReview review{.authenticated = true, .username = claims.username, .audiences = {audience}};
    review.extra["authentication.kubernetes.io/pod-name"] = {"sluice-agent-x"};
    if (!claims.node.empty())
      review.extra["authentication.kubernetes.io/node-name"] = {claims.node};
    return review;
  }
  void run(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [this] { return !queue_.empty(); })) {
      const auto answer = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      answer();
      lock.lock();
    }
  }

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable_any changed_;
  std::map<std::string, Claims> tokens_;
  std::deque<std::function<void()>> queue_;
  bool away_ = false;
  size_t asked_ = 0;
  std::jthread thread_;
};

}  // namespace sluice
