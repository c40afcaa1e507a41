// SPDX-License-Identifier: Apache-2.0
// Keeps the control stream's authorities in a Secret and their certificates in a ConfigMap (the
// leader does), and gives this replica a certificate whenever it is time for one (each does).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "lib/backoff/backoff.h"
#include "lib/loop/timers.h"
#include "operator/certify/secret.h"
#include "operator/source/kube/api_client.h"

namespace sluice {

// Thread: the loop's. The hooks are called from the loop and do not destroy the certifier.
class Certifier {
 public:
  struct Settings {
    ObjectName secret{};
    ObjectName config_map{};
    CertificateTimes times{};
    std::chrono::milliseconds poll{30'000};
    BackoffLimits backoff{.first = std::chrono::milliseconds(500),
                          .longest = std::chrono::milliseconds(10'000)};
  };
  struct Hooks {
    std::function<bool()> leads{};  // only who leads creates and renews
    std::function<CertificateTime()> now{};
    std::function<Status(const KeyPair&)> use{};  // a certificate for this replica
    Random random{};
  };

  // api and timers outlive it.
  Certifier(ApiClient& api, Timers& timers, Settings settings, Hooks hooks);
  ~Certifier();
  Certifier(const Certifier&) = delete;
  Certifier& operator=(const Certifier&) = delete;

  // Looks now, and then with every poll. Called again: does not wait for the next poll.
  void look();

  const std::string& problem() const { return problem_; }  // of the last look; empty: none
  const std::optional<Validity>& certificate() const { return life_; }  // of this replica's

 private:
  using Take = void (Certifier::*)(const ApiAnswer&);

  void take_secret(const ApiAnswer& answer);
  void make_secret(const Authorities& before, std::string_view object);
  void take_written(const ApiAnswer& answer);
  void take_authorities(Authorities authorities);
  Status certify();
  void take_config_map(const ApiAnswer& answer);
  void take_published(const ApiAnswer& answer);

  void ask(ApiCall call, Take take);
  void put(const ObjectName& name, const char* kind, std::string body, bool is_new, Take take);
  void finish(std::string problem);
  void lost_race();
  void wait(std::chrono::milliseconds delay);

  ApiClient& api_;
  Timers& timers_;
  const Settings settings_;
  const Hooks hooks_;
  Backoff backoff_;

  bool busy_ = false;
  bool again_ = false;  // somebody asked for another look meanwhile
  TimerId timer_ = 0;
  Authorities authorities_{};
  KeyPair pair_{};
  std::optional<Validity> life_{};
  std::string problem_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // answers may come when we are gone
};

}  // namespace sluice
