// SPDX-License-Identifier: Apache-2.0
// Network namespaces by path: what CNI hands over is checked here before anything is made in it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "lib/fd/fd.h"
#include "lib/result/result.h"

namespace sluice {

struct Netns {
  Fd fd;
  std::string path;
  uint64_t device = 0;  // device and inode identify a namespace whatever its path
  uint64_t inode = 0;
};

// kNotFound: no such path; kInvalid: not a network namespace, or the calling process's own one.
Result<Netns> open_netns(const std::string& path);
bool same_netns(const Netns& a, const Netns& b);
// Runs `work` with the calling thread inside the namespace and returns it to its own before this
// returns; aborts the process where the way back is barred, because everything after would happen
// in the wrong namespace.
Status run_in_netns(const Netns& netns, const std::function<Status()>& work);

}  // namespace sluice
