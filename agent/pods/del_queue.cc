// SPDX-License-Identifier: Apache-2.0
// Grammar of a file's name: unix ms "-" process id "-" container id ".del"; its content is one
// serialised CniRequest.
#include "agent/pods/del_queue.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "lib/fd/fd.h"

namespace sluice {
namespace {

constexpr std::string_view kSuffix = ".del";

bool decode(const std::string& name, const std::string& content, QueuedDel& entry) {
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), entry.queued_unix_ms);
  if (parsed.ec != std::errc() || parsed.ptr == name.data() + name.size() || *parsed.ptr != '-')
    return false;
  return entry.request.ParseFromString(content) && entry.request.command() == "DEL" &&
         !entry.request.container_id().empty() && !entry.request.network().empty();
}

}  // namespace

Result<std::vector<QueuedDel>> DelQueue::read() {
  std::vector<QueuedDel> queue;
  std::error_code error;
  std::filesystem::directory_iterator entries(directory_, error);
  if (error == std::errc::no_such_file_or_directory) return queue;
  if (error) return fail(from_errno("queue of DELs " + directory_, error.value()));

  for (const auto& each : entries) {
    const std::string name = each.path().filename();
    if (!name.ends_with(kSuffix) || name.starts_with('.'))
      continue;  // being written, or moved aside
    QueuedDel entry;
    entry.path = each.path();
    const Result<std::string> content = read_file(entry.path);
    if (content && decode(name, *content, entry)) {
      queue.push_back(std::move(entry));
      continue;
    }
    ++corrupt_total_;
    condition_ = "queued DEL " + entry.path +
                 " cannot be read and was moved aside to .corrupt; its pod's address is " +
                 "freed when its namespace is gone";
    const std::string aside = entry.path + ".corrupt";
    if (std::rename(entry.path.c_str(), aside.c_str()) != 0)
      return fail(from_errno("move " + entry.path + " aside"));
  }
  std::ranges::sort(queue, [](const QueuedDel& a, const QueuedDel& b) {
    return a.queued_unix_ms != b.queued_unix_ms ? a.queued_unix_ms < b.queued_unix_ms
                                                : a.path < b.path;
  });
  return queue;
}

Status DelQueue::remove(const QueuedDel& entry) {
  if (unlink(entry.path.c_str()) == 0 || errno == ENOENT) return {};
  return fail(from_errno("remove queued DEL " + entry.path));
}

}  // namespace sluice
