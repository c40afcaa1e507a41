// SPDX-License-Identifier: Apache-2.0
// File descriptors that close once, and files that appear whole or not at all.
#include "lib/fd/fd.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace sluice {

namespace {

// "a/b" -> {"a", "b"}; "b" -> {".", "b"}; "/b" -> {"/", "b"}
std::pair<std::string, std::string> split_path(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

Status write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(from_errno("write " + path));
    content.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

Status fill_temporary(const Fd& fd, const std::string& name, std::string_view content,
                      unsigned mode) {
  if (auto written = write_all(fd.get(), content, name); !written) return written;
  if (::fchmod(fd.get(), mode) != 0) return fail(from_errno("chmod " + name));
  if (::fsync(fd.get()) != 0) return fail(from_errno("fsync " + name));
  return {};
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

Fd::~Fd() {
  reset();
}

void Fd::reset() {
  if (fd_ < 0) return;
  const int saved_errno = errno;  // an error path reads errno after its descriptors are gone
  ::close(std::exchange(fd_, -1));
  errno = saved_errno;
}

Result<std::string> read_file(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return fail(from_errno("open " + path));
  std::string content;
  char buffer[16384];
  for (;;) {
    const ssize_t got = ::read(fd.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(from_errno("read " + path));
    if (got == 0) return content;
    content.append(buffer, static_cast<size_t>(got));
  }
}

Status replace_file(const std::string& path, std::string_view content, unsigned mode) {
  const auto [folder, base] = split_path(path);
  std::string temporary = folder + "/." + base + ".XXXXXX";
  Fd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd.valid()) return fail(from_errno("create a temporary file for " + path));
  if (auto filled = fill_temporary(fd, temporary, content, mode); !filled) {
    ::unlink(temporary.c_str());
    return filled;
  }
  fd.reset();
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const Error error = from_errno("rename " + temporary + " to " + path);
    ::unlink(temporary.c_str());
    return fail(error);
  }
  return {};
}

Status sync_folder_of(const std::string& path) {
  const std::string folder = split_path(path).first;
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return fail(from_errno("open folder " + folder));
  // Some file systems have nothing to sync for a folder and say so with EINVAL.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) return fail(from_errno("fsync " + folder));
  return {};
}

Status write_file(const std::string& path, std::string_view content, unsigned mode) {
  if (auto replaced = replace_file(path, content, mode); !replaced) return replaced;
  return sync_folder_of(path);
}

Status append_file(const std::string& path, std::string_view content) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!fd.valid()) return fail(from_errno("open " + path));
  if (auto written = write_all(fd.get(), content, path); !written) return written;
  if (::fdatasync(fd.get()) != 0) return fail(from_errno("fdatasync " + path));
  return {};
}

Status make_directories(const std::string& path) {
  size_t end = 0;
  while (end != std::string::npos) {
    end = path.find('/', end + 1);
    const std::string part = path.substr(0, end);
    if (part.empty() || ::mkdir(part.c_str(), 0755) == 0) continue;
    if (errno != EEXIST) return fail(from_errno("mkdir " + part));
    struct stat found{};
    if (::stat(part.c_str(), &found) != 0) return fail(from_errno("stat " + part));
    if (!S_ISDIR(found.st_mode)) return fail(from_errno("mkdir " + part, ENOTDIR));
  }
  return {};
}

}  // namespace sluice
