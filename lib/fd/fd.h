// SPDX-License-Identifier: Apache-2.0
// File descriptors that close once, and files that appear whole or not at all.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "lib/result/result.h"

namespace sluice {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd();

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

// Whole content of a small file. kNotFound where it is not there.
Result<std::string> read_file(const std::string& path);
// Replaces `path` atomically: temporary file in the same folder, write, fsync, rename, fsync of the
// folder. A crash at any instant leaves the old file or the new one.
Status write_file(const std::string& path, std::string_view content, unsigned mode = 0600);
// Its two halves: all but the last step, and that step. Between them a loss of power, not a crash
// of the process, may bring the old file back.
Status replace_file(const std::string& path, std::string_view content, unsigned mode = 0600);
Status sync_folder_of(const std::string& path);
// Adds to a file that is there, and has it on the disk when it returns. What a failure or a crash
// leaves at the end may be a part of it.
Status append_file(const std::string& path, std::string_view content);
// mkdir -p, mode 0755 for what is made.
Status make_directories(const std::string& path);

}  // namespace sluice
