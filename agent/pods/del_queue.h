// SPDX-License-Identifier: Apache-2.0
// DELs that sluice-cni put on disk while the agent was away (one file each, a serialised
// CniRequest), read back here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cni/v1/cni.pb.h"
#include "lib/result/result.h"

namespace sluice {

struct QueuedDel {
  std::string path;
  cni::v1::CniRequest request;
};

// Thread: the control loop.
class DelQueue {
 public:
  explicit DelQueue(std::vector<std::string> folders) : folders_(std::move(folders)) {}

  // By name, of all folders; one that is not there is empty. condition() names what cannot be read,
  // until the next reading: a file that is no DEL is moved aside as .corrupt.
  std::vector<QueuedDel> read();
  Status remove(const QueuedDel& entry);
  uint64_t corrupt_total() const { return corrupt_total_; }
  const std::string& condition() const { return condition_; }

 private:
  void read_folder(const std::string& folder, std::vector<QueuedDel>& queue,
                   std::vector<std::string>& junk);
  void set_aside(const std::vector<std::string>& junk);

  std::vector<std::string> folders_;
  std::string condition_;
  uint64_t corrupt_total_ = 0;
};

}  // namespace sluice
