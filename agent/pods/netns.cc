// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/netns.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cstdlib>

namespace sluice {
namespace {

constexpr const char* kOwnNetns = "/proc/thread-self/ns/net";

}  // namespace

Result<Netns> open_netns(const std::string& path) {
  const std::string doing = "network namespace " + path;
  Netns netns{.fd = Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)), .path = path};
  if (!netns.fd.valid()) return fail(from_errno(doing));

  struct statfs filesystem{};
  if (fstatfs(netns.fd.get(), &filesystem) != 0) return fail(from_errno(doing + ": statfs"));
  if (filesystem.f_type != NSFS_MAGIC || ioctl(netns.fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET) {
    return fail(ErrorCode::kInvalid, doing + ": the path is there but is no network namespace");
  }
  struct stat file{};
  struct stat own{};
  if (fstat(netns.fd.get(), &file) != 0) return fail(from_errno(doing + ": stat"));
  if (stat(kOwnNetns, &own) != 0) return fail(from_errno(std::string("stat ") + kOwnNetns));
  if (file.st_dev == own.st_dev && file.st_ino == own.st_ino) {
    return fail(ErrorCode::kInvalid,
                doing + ": is the host's own; a pod on the host's network needs no CNI");
  }
  netns.device = file.st_dev;
  netns.inode = file.st_ino;
  return netns;
}

bool same_netns(const Netns& a, const Netns& b) {
  return a.device == b.device && a.inode == b.inode;
}

Status run_in_netns(const Netns& netns, const std::function<Status()>& work) {
  const Fd own(open(kOwnNetns, O_RDONLY | O_CLOEXEC));
  if (!own.valid()) return fail(from_errno(std::string("open ") + kOwnNetns));
  if (setns(netns.fd.get(), CLONE_NEWNET) != 0)
    return fail(from_errno("enter network namespace " + netns.path));
  Status done = work();
  if (setns(own.get(), CLONE_NEWNET) != 0) std::abort();
  return done;
}

}  // namespace sluice
