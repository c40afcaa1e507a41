// SPDX-License-Identifier: Apache-2.0
// Owners of what libbpf hands out: a bpftool skeleton that is destroyed once, and what libbpf
// logged.
#pragma once

#include <memory>
#include <string>

namespace sluice {

// S: a struct that bpftool generated; destroying it closes its maps and programs unless pinned.
template <class S>
struct SkeletonDestroyer {
  void operator()(S* skeleton) const { S::destroy(skeleton); }
};
template <class S>
using Skeleton = std::unique_ptr<S, SkeletonDestroyer<S>>;

// While it lives, what libbpf says on this thread (the verifier's log above all) is kept here
// instead of on stderr. Outside any capture libbpf is silent once one was made. Captures do not
// nest.
class LibbpfLog {
 public:
  LibbpfLog();
  ~LibbpfLog();
  LibbpfLog(const LibbpfLog&) = delete;
  LibbpfLog& operator=(const LibbpfLog&) = delete;

  // The last `bytes` of it, in one line-broken text.
  std::string tail(size_t bytes = 2000) const;

 private:
  std::string text_;
};

}  // namespace sluice
