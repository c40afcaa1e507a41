// SPDX-License-Identifier: Apache-2.0
// What the agent holds of its span: from its disk first, then from whichever operator it reaches.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/control/stream_update.h"
#include "operator/resolve/intent.h"
#include "operator/stream/digest.h"

namespace sluice {

// Thread: the control loop.
class HeldIntent {
 public:
  HeldIntent() = default;
  explicit HeldIntent(const Intent& intent);

  IntentDelta apply(StreamUpdate update);  // what is another now; revision 0: the caller counts
  Digest digest() const;
  Intent intent() const;  // all of it, sorted; revision 0
  // Objects whose newest state could not be read; what was held of them before still counts.
  std::vector<ObjectFault> faults() const;

 private:
  std::map<std::string, std::shared_ptr<const NodeIntent>> nodes_;
  std::map<PodKey, std::shared_ptr<const PodIntent>> pods_;
  std::map<std::string, ObjectFault> unreadable_;
};

}  // namespace sluice
