// SPDX-License-Identifier: Apache-2.0
// Reviews of tokens by the API server: the control stream's question "who is this?".
#pragma once

#include <asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "lib/loop/timers.h"
#include "lib/result/result.h"
#include "operator/source/kube/api_client.h"
#include "operator/stream/identity.h"

namespace sluice {

// The body of a TokenReview. Pure.
std::string review_request(const std::string& token, const std::string& audience);
// What an API server answered. kInvalid where it is no TokenReview with a status. Pure.
Result<TokenReview> parse_review(std::string_view body);

// Every token is asked about anew: whoever was deleted a moment ago is refused at once.
class ApiTokenReviewer final : public TokenReviewer {
 public:
  struct Limits {
    size_t in_flight = 32;  // requests at once
    size_t waiting = 8192;  // more are sent away: as many agents as come back after a restart
    std::chrono::milliseconds patience{10'000};  // of who asks: after that nobody waits any more
  };

  // All outlive it. Thread of construction and destruction: the loop's.
  ApiTokenReviewer(asio::io_context& loop, ApiClient& api, Timers& timers, Limits limits);
  ~ApiTokenReviewer() override;

  // Thread: any. `done` is called from the loop, or from inside where too many wait.
  void review(const std::string& token, const std::string& audience,
              std::function<void(Result<TokenReview>)> done) override;

 private:
  class Core;
  asio::io_context& loop_;
  std::shared_ptr<Core> core_;
};

}  // namespace sluice
