// SPDX-License-Identifier: Apache-2.0
// The intent in force, on disk: what a source that comes up broken cannot take away (N11).
#pragma once

#include <optional>
#include <string>

#include "lib/result/result.h"
#include "operator/resolve/intent.h"

namespace sluice {

// Pure halves, for tests. kInvalid names what is wrong with the text.
std::string encode_intent(const Intent& intent);
Result<Intent> decode_intent(const std::string& text);

// The nodes and pods of `last` that `fresh` lacks, without those whose address or range a fresh one
// has by now. Pure.
Intent missing_in(const Intent& fresh, Intent last);
// Both together; sorted as resolve sorts. Pure.
Intent with_missing(Intent fresh, const Intent& last);

// Thread: the control loop.
class LastIntent {
 public:
  // Reads <state_dir>/intent.json; a file that cannot be understood counts as none.
  explicit LastIntent(const std::string& state_dir);

  // What the agent should act on; it is saved where it changed. While the source has had problems
  // ever since the start, what it lacks comes from the file; once it was whole, it alone counts.
  // problem: whether anything is wrong with the source.
  Intent judge(Intent fresh, bool problem);
  // What the file had; nullopt once a source was whole.
  const std::optional<Intent>& last() const { return last_; }
  // Of the last save; success where none was needed.
  const Status& saved() const { return saved_; }

 private:
  std::string path_;
  std::optional<Intent> last_;  // until the source was whole once
  std::string written_;         // text in the file
  Status saved_;
};

}  // namespace sluice
