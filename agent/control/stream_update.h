// SPDX-License-Identifier: Apache-2.0
// What the operator sent between two marks, put together on gRPC's threads: of each object its
// newest state, so that an update is never larger than the span.
#pragma once

#include <bitset>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "operator/resolve/intent.h"
#include "operator/stream/agent_state.h"
#include "operator/stream/digest.h"

namespace sluice {

namespace control::v1 {
class Change;
class OperatorMessage;
}  // namespace control::v1

struct StreamUpdate {
  std::bitset<kBuckets> snapshot{};  // what is in these buckets and not named here is gone
  std::map<std::string, std::optional<NodeIntent>> nodes{};  // nullopt: gone
  std::map<PodKey, std::optional<PodIntent>> pods{};
  std::map<std::string, ObjectFault> unreadable{};  // by key: what was held of them stays
  uint64_t ignored = 0;  // changes of kinds that this build does not know
  uint64_t revision = 0;
};

// Thread: one at a time.
class UpdateBuilder {
 public:
  // The update that a mark completes.
  std::optional<StreamUpdate> take(const control::v1::OperatorMessage& message);

 private:
  void take_snapshot(const std::bitset<kBuckets>& buckets);
  void take_change(const control::v1::Change& change);

  StreamUpdate update_;
};

}  // namespace sluice
