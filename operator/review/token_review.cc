// SPDX-License-Identifier: Apache-2.0
// Reviews of tokens by the API server.
#include "operator/review/token_review.h"

#include <spdlog/spdlog.h>

#include <asio/post.hpp>
#include <atomic>
#include <deque>
#include <nlohmann/json.hpp>
#include <utility>

namespace sluice {
namespace {

using nlohmann::json;

constexpr const char* kReviews = "/apis/authentication.k8s.io/v1/tokenreviews";

}  // namespace

std::string review_request(const std::string& token, const std::string& audience) {
  // A token is what a stranger sent: what is no text is no token, and is refused over there.
  return json{{"apiVersion", "authentication.k8s.io/v1"},
              {"kind", "TokenReview"},
              {"spec", {{"token", token}, {"audiences", json::array({audience})}}}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<TokenReview> parse_review(std::string_view body) {
  try {
    const json answer = json::parse(body);
    const json& status = answer.at("status");
    TokenReview review;
    review.authenticated = status.value("authenticated", false);
    review.error = status.value("error", "");
    if (status.contains("audiences")) status.at("audiences").get_to(review.audiences);
    const auto user = status.find("user");
    if (user == status.end()) return review;
    review.username = user->value("username", "");
    if (user->contains("extra")) user->at("extra").get_to(review.extra);
    return review;
  } catch (const json::exception& error) {
    return fail(ErrorCode::kInvalid, std::string("TokenReview: ") + error.what());
  }
}

// Thread: the loop's, but for `claim`.
class ApiTokenReviewer::Core : public std::enable_shared_from_this<ApiTokenReviewer::Core> {
 public:
  struct Question {
    std::string token;
    std::string audience;
    std::function<void(Result<TokenReview>)> done;
    Timers::Time asked{};
  };

  Core(ApiClient& api, Timers& timers, Limits limits)
      : api_(&api), timers_(timers), limits_(limits) {}

  // A place for one more question.
  bool claim() {
    if (places_.fetch_add(1) < limits_.waiting + limits_.in_flight) return true;
    places_.fetch_sub(1);
    return false;
  }
  void take(Question question) {
    question.asked = timers_.now();
    waiting_.push_back(std::move(question));
    ask();
  }
  void stop() {
    api_ = nullptr;
    waiting_.clear();
  }

 private:
  void ask();
  void conclude(const Question& question, const Result<ApiAnswer>& answer);

  ApiClient* api_;  // null: the end
  Timers& timers_;
  const Limits limits_;
  std::atomic<size_t> places_{0};
  size_t in_flight_ = 0;
  std::deque<Question> waiting_;
  std::string problem_;  // told in the log
};

void ApiTokenReviewer::Core::ask() {
  while (api_ != nullptr && in_flight_ < limits_.in_flight && !waiting_.empty()) {
    Question question = std::move(waiting_.front());
    waiting_.pop_front();
    if (timers_.now() - question.asked > limits_.patience) {
      places_.fetch_sub(1);
      question.done(fail(ErrorCode::kUnavailable, "TokenReview: too many came before"));
      continue;
    }
    ++in_flight_;
    ApiCall call{.method = "POST",
                 .target = kReviews,
                 .content_type = "application/json",
                 .body = review_request(question.token, question.audience),
                 .repeatable = true};
    api_->request(std::move(call),
                  [weak = weak_from_this(), question = std::move(question)](const auto& answer) {
                    if (const auto self = weak.lock()) self->conclude(question, answer);
                  });
  }
}

void ApiTokenReviewer::Core::conclude(const Question& question, const Result<ApiAnswer>& answer) {
  --in_flight_;
  places_.fetch_sub(1);
  // Whatever is no verdict says nothing about the token: the agent tries again.
  Result<TokenReview> review = fail(answer ? error_of("POST", kReviews, *answer) : answer.error());
  if (answer && answer->good()) review = parse_review(answer->body);
  if (review) {
    problem_.clear();
  } else if (problem_ != review.error().message()) {
    problem_ = review.error().message();
    spdlog::warn("agents cannot be let in: {}", problem_);
  }
  // What went wrong between us and the API server is nothing to tell a stranger.
  if (!review) review = fail(ErrorCode::kUnavailable, "the API server gave no verdict");
  question.done(std::move(review));
  ask();
}

ApiTokenReviewer::ApiTokenReviewer(asio::io_context& loop, ApiClient& api, Timers& timers,
                                   Limits limits)
    : loop_(loop), core_(std::make_shared<Core>(api, timers, limits)) {}

ApiTokenReviewer::~ApiTokenReviewer() {
  core_->stop();
}

void ApiTokenReviewer::review(const std::string& token, const std::string& audience,
                              std::function<void(Result<TokenReview>)> done) {
  if (!core_->claim())
    return done(fail(ErrorCode::kUnavailable, "TokenReview: too many wait already"));
  asio::post(loop_, [core = core_,
                     question = Core::Question{
                         .token = token, .audience = audience, .done = std::move(done)}]() mutable {
    core->take(std::move(question));
  });
}

}  // namespace sluice
