// SPDX-License-Identifier: Apache-2.0
// A file is one serialised CniRequest with queued_boot_id and queued_boot_ms; its name, unix ms "-"
// process id "-" container id ".del", is for people.
#include "agent/pods/del_queue.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "lib/fd/fd.h"

namespace sluice {
namespace {

constexpr std::string_view kSuffix = ".del";

bool is_del(const cni::v1::CniRequest& request) {
  return request.command() == "DEL" && !request.container_id().empty() &&
         !request.network().empty();
}

}  // namespace

std::vector<QueuedDel> DelQueue::read() {
  condition_.clear();
  std::vector<QueuedDel> queue;
  std::vector<std::string> junk;
  for (const std::string& folder : folders_) read_folder(folder, queue, junk);
  set_aside(junk);
  return queue;
}

void DelQueue::read_folder(const std::string& folder, std::vector<QueuedDel>& queue,
                           std::vector<std::string>& junk) {
  std::error_code error;
  const std::filesystem::directory_iterator entries(folder, error);
  if (error == std::errc::no_such_file_or_directory) return;
  if (error) {
    condition_ += (condition_.empty() ? "" : "; ") +
                  from_errno("queue of DELs " + folder, error.value()).message();
    return;
  }
  const auto first = static_cast<std::ptrdiff_t>(queue.size());
  for (const auto& each : entries) {
    const std::string name = each.path().filename();
    if (!name.ends_with(kSuffix) || name.starts_with('.'))
      continue;  // being written, or moved aside
    QueuedDel entry{.path = each.path(), .request = {}};
    const Result<std::string> content = read_file(entry.path);
    if (content && entry.request.ParseFromString(*content) && is_del(entry.request)) {
      queue.push_back(std::move(entry));
    } else {
      junk.push_back(std::move(entry.path));
    }
  }
  std::ranges::sort(queue.begin() + first, queue.end(), {}, &QueuedDel::path);
}

void DelQueue::set_aside(const std::vector<std::string>& junk) {
  if (junk.empty()) return;
  corrupt_total_ += junk.size();
  std::string names;
  for (const std::string& path : junk) {
    names += (names.empty() ? "" : ", ") + path;
    if (std::rename(path.c_str(), (path + ".corrupt").c_str()) != 0)
      names += " (" + from_errno("it cannot be moved aside either").message() + ")";
  }
  condition_ += (condition_.empty() ? "queued DEL " : "; queued DEL ") + names +
                ": cannot be read and was moved aside to *.corrupt; the addresses of its pod are " +
                "freed when the pod's device is gone";
}

Status DelQueue::remove(const QueuedDel& entry) {
  if (unlink(entry.path.c_str()) == 0 || errno == ENOENT) return {};
  return fail(from_errno("remove queued DEL " + entry.path));
}

}  // namespace sluice
