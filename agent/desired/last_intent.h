// SPDX-License-Identifier: Apache-2.0
// The intent in force, on disk: what a source that comes up broken cannot take away (N11).
#pragma once

#include <optional>
#include <string>

#include "lib/result/result.h"
#include "operator/resolve/intent.h"

namespace sluice {

// The file: a line with a whole intent, then a line for each change since. Pure halves, for tests.
std::string encode_intent(const Intent& intent);
std::string encode_delta(const IntentDelta& delta);
// kInvalid names what is wrong with the first line. Changes count up to the first that cannot be
// understood: a crash may cut off the last one.
Result<Intent> decode_intent(const std::string& text);

// The nodes and pods of `last` that `fresh` neither names nor contradicts: whose address or range
// no fresh one has by now. Pure.
Intent missing_in(const Intent& fresh, Intent last);

// Thread: the control loop.
class LastIntent {
 public:
  // Reads <state_dir>/intent.json; a file that cannot be understood counts as none.
  explicit LastIntent(const std::string& state_dir);

  // What the agent should change, of what changed at the source (at first: all that it has). While
  // the source has had problems ever since the start, what it lacks comes from the file; once it
  // was whole, it alone counts. problem: whether anything is wrong with the source.
  IntentDelta judge(IntentDelta fresh, bool problem);
  // Adds to the file what judge returned. Where the changes are longer than the whole, or something
  // went wrong before, the whole is written: `now`, after the change. Nothing to add: what failed
  // before is tried again.
  Status save(const IntentDelta& delta, const Intent& now);
  // What the file had and the source lacks; nullopt once a source was whole.
  const std::optional<Intent>& last() const { return last_; }

 private:
  std::string path_;
  std::optional<Intent> last_;  // until the source was whole once
  bool started_ = false;
  bool whole_wanted_ = true;
  size_t whole_bytes_ = 0;
  size_t change_bytes_ = 0;
};

}  // namespace sluice
