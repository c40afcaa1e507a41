// SPDX-License-Identifier: Apache-2.0
// A folder of manifests as the source of objects: inotify tells which names to read again.
#include "operator/source/manifests/source.h"

#include <spdlog/spdlog.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <set>
#include <system_error>
#include <utility>

#include "lib/fd/fd.h"
#include "operator/source/manifests/merge.h"
#include "operator/source/manifests/parse.h"

namespace sluice {
namespace {

constexpr std::chrono::milliseconds kDebounce{10};
constexpr off_t kManifestMaxBytes = 64 << 20;  // beyond that it is no manifest but a mistake
constexpr uint32_t kFolderEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                                   IN_CREATE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF |
                                   IN_ONLYDIR;
constexpr uint32_t kParentEvents = IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ONLYDIR;

bool is_manifest_name(std::string_view name) {
  if (name.empty() || name.front() == '.') return false;
  return name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json");
}

std::string without_end_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

class ManifestSource::Watch : public std::enable_shared_from_this<Watch> {
 public:
  Watch(asio::io_context& loop, std::string folder, OnChange on_change)
      : descriptor_(loop),
        timer_(loop),
        folder_(without_end_slashes(std::move(folder))),
        on_change_(std::move(on_change)) {}

  Status start();
  void stop();
  std::map<std::string, uint32_t> ignored_kinds() const { return state_.ignored_kinds(); }

 private:
  void wait();
  void drain();
  void take_event(const inotify_event& event, std::string_view name);
  void take_name(uint32_t mask, const std::string& name);
  void arm();
  void apply();
  void watch_folder();
  void scan();
  void read_manifest(const std::string& name);
  void report_unreadable(const std::string& name, std::string what);
  void log_ignored();
  void notify(bool always);

  asio::posix::stream_descriptor descriptor_;
  asio::steady_timer timer_;
  const std::string folder_;
  std::string folder_name_;  // last part of the path, as the parent knows it
  OnChange on_change_;
  int folder_watch_ = -1;
  int parent_watch_ = -1;

  bool armed_ = false;
  bool stopped_ = false;
  bool rewatch_ = false;         // the folder came, went or is another one
  bool rescan_ = false;          // anything may have changed
  std::set<std::string> dirty_;  // names to read again
  std::set<std::string> unreadable_;
  std::string folder_error_;  // empty: the folder is watched
  std::set<std::string> logged_kinds_;

  FolderState state_;
  std::vector<ObjectChange> changes_;  // not told yet
  std::vector<SourceProblem> last_problems_;
};

Status ManifestSource::Watch::start() {
  Fd fd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd.valid()) return fail(from_errno("watch manifests in " + folder_ + ": inotify_init1"));
  const std::filesystem::path path(folder_);
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_directory(path, ignored))
    return fail(ErrorCode::kInvalid, folder_ + " is not a folder of manifests");
  folder_name_ = path.filename().string();
  const std::string parent = path.has_parent_path() ? path.parent_path().string() : ".";
  parent_watch_ = inotify_add_watch(fd.get(), parent.c_str(), kParentEvents);
  if (parent_watch_ < 0)
    return fail(from_errno("watch manifests in " + folder_ + ": parent folder " + parent));
  descriptor_.assign(fd.release());
  watch_folder();
  scan();
  notify(true);
  wait();
  return {};
}

void ManifestSource::Watch::stop() {
  stopped_ = true;
  asio::error_code ignored;
  descriptor_.close(ignored);
  timer_.cancel(ignored);
}

void ManifestSource::Watch::wait() {
  descriptor_.async_wait(asio::posix::stream_descriptor::wait_read,
                         [weak = weak_from_this()](const asio::error_code& error) {
                           const auto self = weak.lock();
                           if (!self || error || self->stopped_) return;
                           self->drain();
                           self->wait();
                         });
}

void ManifestSource::Watch::drain() {
  alignas(inotify_event) std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t got = ::read(descriptor_.native_handle(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    for (size_t at = 0; at < static_cast<size_t>(got);) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      const char* name = buffer.data() + at + sizeof(event);
      take_event(event, event.len == 0 ? "" : std::string_view(name, strnlen(name, event.len)));
      at += sizeof(event) + event.len;
    }
  }
}

void ManifestSource::Watch::take_event(const inotify_event& event, std::string_view name) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) {
    rewatch_ = rescan_ = true;
  } else if (event.wd == parent_watch_ && name == folder_name_) {
    rewatch_ = rescan_ = true;
  } else if (event.wd == folder_watch_ && name.empty()) {
    if ((event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) == 0) return;
    rewatch_ = rescan_ = true;
  } else if (event.wd == folder_watch_) {
    take_name(event.mask, std::string(name));
  }
  if (rewatch_ || rescan_ || !dirty_.empty()) arm();
}

void ManifestSource::Watch::take_name(uint32_t mask, const std::string& name) {
  struct stat info = {};
  const bool exists = ::lstat((folder_ + "/" + name).c_str(), &info) == 0;
  if (!is_manifest_name(name)) {
    // A mounted ConfigMap swaps one link ("..data") that all its files go through.
    const bool is_way = exists && (S_ISLNK(info.st_mode) || S_ISDIR(info.st_mode));
    if (is_way && (mask & (IN_CREATE | IN_MOVED_TO)) != 0) rescan_ = true;
    return;
  }
  // A new plain file is still being written: its close tells. A link is complete as it appears.
  const bool being_written = exists && S_ISREG(info.st_mode) && info.st_nlink == 1;
  if ((mask & IN_CREATE) != 0 && being_written) return;
  if ((mask & IN_ATTRIB) != 0 && !unreadable_.contains(name)) return;
  dirty_.insert(name);
}

void ManifestSource::Watch::arm() {
  if (armed_) return;
  armed_ = true;
  timer_.expires_after(kDebounce);
  timer_.async_wait([weak = weak_from_this()](const asio::error_code& error) {
    const auto self = weak.lock();
    if (!self || error || self->stopped_) return;
    self->armed_ = false;
    self->apply();
  });
}

void ManifestSource::Watch::apply() {
  if (std::exchange(rewatch_, false)) watch_folder();
  const std::set<std::string> dirty = std::exchange(dirty_, {});
  if (std::exchange(rescan_, false)) {
    scan();
  } else {
    for (const std::string& name : dirty) read_manifest(name);
  }
  notify(false);
}

void ManifestSource::Watch::watch_folder() {
  const int fd = descriptor_.native_handle();
  // Removing first gives a new number, so that events of a folder that was swapped away are told
  // apart.
  if (folder_watch_ >= 0) inotify_rm_watch(fd, folder_watch_);
  folder_watch_ = inotify_add_watch(fd, folder_.c_str(), kFolderEvents);
  folder_error_ = folder_watch_ < 0 ? from_errno("folder " + folder_).message() : "";
}

void ManifestSource::Watch::scan() {
  if (!folder_error_.empty())
    return;  // what was good stays: a folder that is away says nothing about its objects
  std::error_code error;
  std::set<std::string> names;
  for (std::filesystem::directory_iterator entry(folder_, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (is_manifest_name(name)) names.insert(name);
  }
  if (error) {
    folder_error_ = "folder " + folder_ + ": " + error.message();
    return;
  }
  std::set<std::string> gone;
  std::ranges::set_difference(state_.files(), names, std::inserter(gone, gone.end()));
  for (const std::string& name : gone) state_.remove(name, changes_);
  for (const std::string& name : names) read_manifest(name);
}

void ManifestSource::Watch::read_manifest(const std::string& name) {
  unreadable_.erase(name);
  const std::string path = folder_ + "/" + name;
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return state_.remove(name, changes_);
    return report_unreadable(name, from_errno("stat").message());
  }
  if (S_ISDIR(info.st_mode)) return state_.remove(name, changes_);
  if (!S_ISREG(info.st_mode)) return report_unreadable(name, "not a regular file");
  if (info.st_size > kManifestMaxBytes) {
    return report_unreadable(name, "longer than " + std::to_string(kManifestMaxBytes) + " bytes");
  }
  const auto content = read_file(path);
  if (!content && content.error().code == ErrorCode::kNotFound)
    return state_.remove(name, changes_);
  if (!content) return report_unreadable(name, content.error().message());
  state_.take(name, parse_documents(name, *content), changes_);
}

void ManifestSource::Watch::report_unreadable(const std::string& name, std::string what) {
  unreadable_.insert(name);
  ParsedFile nothing;
  nothing.incomplete = true;
  nothing.problems.push_back(
      {.origin = {.file = name}, .what = "cannot be read: " + std::move(what)});
  state_.take(name, std::move(nothing), changes_);
}

void ManifestSource::Watch::log_ignored() {
  for (const auto& [kind, count] : state_.ignored_kinds()) {
    if (logged_kinds_.insert(kind).second)
      spdlog::debug("manifests in {}: {} x {} are not read", folder_, count, kind);
  }
}

void ManifestSource::Watch::notify(bool always) {
  log_ignored();
  std::vector<SourceProblem> problems = state_.problems();
  if (!folder_error_.empty())
    problems.insert(problems.begin(), SourceProblem{.what = folder_error_});
  if (!always && changes_.empty() && problems == last_problems_) return;
  last_problems_ = std::move(problems);
  on_change_(std::exchange(changes_, {}), last_problems_);
}

ManifestSource::ManifestSource(std::shared_ptr<Watch> watch) : watch_(std::move(watch)) {}

ManifestSource::~ManifestSource() {
  watch_->stop();
}

Result<std::unique_ptr<ManifestSource>> ManifestSource::open(asio::io_context& loop,
                                                             std::string folder,
                                                             OnChange on_change) {
  auto watch = std::make_shared<Watch>(loop, std::move(folder), std::move(on_change));
  if (auto started = watch->start(); !started) return fail(started.error());
  return std::unique_ptr<ManifestSource>(new ManifestSource(std::move(watch)));
}

std::map<std::string, uint32_t> ManifestSource::ignored_kinds() const {
  return watch_->ignored_kinds();
}

}  // namespace sluice
