// SPDX-License-Identifier: Apache-2.0
// What is at a path, to tell one file from another that comes in its place.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

namespace sluice {

struct FileId {
  uint64_t device = 0;
  uint64_t inode = 0;
  bool operator==(const FileId&) const = default;
};

// All zero where nothing is there. Does not follow links.
inline FileId file_id(const std::string& path) {
  struct stat found{};
  if (::lstat(path.c_str(), &found) != 0) return {};
  return {.device = found.st_dev, .inode = found.st_ino};
}

}  // namespace sluice
