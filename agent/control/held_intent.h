// SPDX-License-Identifier: Apache-2.0
// What the agent holds of its span: from its disk first, then from whichever operator it reaches.
#pragma once

#include <map>
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

  // Whether anything is another now.
  bool apply(StreamUpdate update);
  Digest digest() const;
  Intent intent() const;  // all of it, sorted; revision 0
  // Objects whose newest state could not be read; what was held of them before still counts.
  std::vector<ObjectFault> faults() const;

 private:
  std::map<std::string, NodeIntent> nodes_;
  std::map<PodKey, PodIntent> pods_;
  std::map<std::string, ObjectFault> unreadable_;
};

}  // namespace sluice
