// SPDX-License-Identifier: Apache-2.0
// One agent, or one cleanup, on a node at a time, whatever folders its settings name.
#pragma once

#include <string>

#include "lib/fd/fd.h"
#include "lib/result/result.h"

namespace sluice {

// A lock (flock) on <bpffs>/sluice, where all of the node's programs and tables are pinned. It ends
// with the process, however that ends.
class NodeLock {
 public:
  // kExists names the process that has it.
  static Result<NodeLock> take(const std::string& bpffs);
  // Where somebody removed the folder and it was made anew: takes that one, too.
  Status keep();

 private:
  NodeLock(std::string bpffs, Fd fd) : bpffs_(std::move(bpffs)), fd_(std::move(fd)) {}
  std::string bpffs_;
  Fd fd_;  // of the folder
};

}  // namespace sluice
