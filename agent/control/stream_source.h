// SPDX-License-Identifier: Apache-2.0
// Intent from the operator: keeps one stream open to one of its replicas, holds what came, and says
// what the kernel has taken. What was held before a restart counts until a replica says otherwise.
#pragma once

#include <asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/backoff/backoff.h"
#include "lib/result/result.h"
#include "operator/resolve/intent.h"
#include "operator/source/objects.h"
#include "operator/stream/agent_state.h"

namespace sluice {

struct StreamSettings {
  std::vector<std::string> operators{};  // "host:port" of each replica
  std::string node_name{};
  Build build{};
  std::string authorities_file{};  // PEM: who may sign an operator's certificate
  std::string token_file{};        // the agent's service account token
  std::chrono::milliseconds welcome_timeout{10'000};
  std::chrono::milliseconds keepalive_interval{10'000};
  std::chrono::milliseconds keepalive_timeout{5'000};
  BackoffLimits backoff{.first = std::chrono::milliseconds(500),
                        .longest = std::chrono::milliseconds(30'000)};
};

// Whether the operator is there; for conditions and status.
struct StreamState {
  bool connected = false;
  std::string operator_address{};  // of the stream that is open, else the one tried last
  std::string instance{};          // of the operator; empty: never reached
  Build operator_build{};
  std::string error{};   // why it is not connected, and what happens next
  uint64_t streams = 0;  // opened so far
  uint64_t failures = 0;
  uint64_t revision = 0;  // last mark of this stream
  uint64_t acked = 0;
};

struct StreamHooks {
  // As of StandaloneSource; the revision counts here, and grows with each call.
  std::function<void(const IntentDelta& delta, const std::vector<SourceProblem>& problems)>
      on_intent;
  std::function<void(const StreamState&)> on_state{};  // may be empty
  Random random;                                       // for the waits between tries
};

// Thread: the one that runs `loop`.
class StreamSource {
 public:
  // last: what the disk had; on_intent gets it from inside open, as a problem until an operator was
  // reached. Errors: kInvalid names the setting.
  static Result<std::unique_ptr<StreamSource>> open(asio::io_context& loop, StreamSettings settings,
                                                    const std::optional<Intent>& last,
                                                    StreamHooks hooks);
  ~StreamSource();
  StreamSource(const StreamSource&) = delete;
  StreamSource& operator=(const StreamSource&) = delete;

  // The kernel holds the intent of this revision but for these objects.
  void applied(uint64_t revision, std::vector<ObjectFault> faults);
  // How the agent is. Sent at once, and to each operator that is reached later.
  void report(bool ready, const std::string& not_ready, const std::vector<std::string>& failing);

  const StreamState& state() const;

 private:
  class Core;
  explicit StreamSource(std::shared_ptr<Core> core);
  std::shared_ptr<Core> core_;
};

}  // namespace sluice
