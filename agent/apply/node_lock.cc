// SPDX-License-Identifier: Apache-2.0
#include "agent/apply/node_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <sstream>

#include "agent/apply/maps.h"
#include "agent/apply/preconditions.h"

namespace sluice {

namespace {

constexpr int kTakeTurns = 3;  // the folder may be removed between our opening and locking it

bool is_at(const Fd& fd, const std::string& path) {
  struct stat held{};
  struct stat there{};
  return ::fstat(fd.get(), &held) == 0 && ::stat(path.c_str(), &there) == 0 &&
         held.st_dev == there.st_dev && held.st_ino == there.st_ino;
}

// " (pid 17)", or nothing where the kernel does not say.
// line of /proc/locks = number ":" "FLOCK" "ADVISORY" "WRITE" pid major ":" minor ":" inode first
// last; major and minor are hexadecimal.
std::string holder(const Fd& fd) {
  struct stat locked{};
  const auto locks = read_file("/proc/locks");
  if (::fstat(fd.get(), &locked) != 0 || !locks) return {};
  std::array<char, 64> wanted{};
  std::snprintf(wanted.data(), wanted.size(), "%02x:%02x:%lu", major(locked.st_dev),
                minor(locked.st_dev), static_cast<unsigned long>(locked.st_ino));
  std::istringstream lines(*locks);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string number, kind, mode, access, pid, file;
    words >> number >> kind >> mode >> access >> pid >> file;
    if (kind == "FLOCK" && file == wanted.data() && pid != "0") return " (pid " + pid + ")";
  }
  return {};
}

}  // namespace

Result<NodeLock> NodeLock::take(const std::string& bpffs) {
  if (auto mounted = check_bpffs(bpffs); !mounted) return fail(mounted.error());
  const std::string path = pin_root(bpffs);
  for (int turn = 0; turn < kTakeTurns; turn++) {
    if (auto made = make_directories(path); !made) return fail(made.error());
    // Who can open the folder can lock it, too.
    if (::chmod(path.c_str(), 0700) != 0) return fail(from_errno("chmod " + path));
    Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return fail(from_errno("open " + path));
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return fail(from_errno("lock " + path));
      return fail(ErrorCode::kExists, "another sluice-agent" + holder(fd) +
                                          " runs on this node and holds " + path +
                                          ": stop it first");
    }
    if (is_at(fd, path)) return NodeLock(bpffs, std::move(fd));
  }
  return fail(ErrorCode::kKernel, "lock " + path + ": somebody removes it again and again");
}

Status NodeLock::keep() {
  if (is_at(fd_, pin_root(bpffs_))) return {};
  auto anew = take(bpffs_);
  if (!anew) return fail(anew.error());
  *this = std::move(*anew);
  return {};
}

}  // namespace sluice
