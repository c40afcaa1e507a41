// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/installer.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "lib/fd/fd.h"

namespace sluice {
namespace {

std::string binary_path(const InstallSettings& settings) {
  return settings.bin_dir + "/sluice-cni";
}

std::string conflist_path(const InstallSettings& settings) {
  return settings.conf_dir + "/05-sluice.conflist";
}

Status put(const std::string& path, const std::string& content, unsigned mode) {
  std::error_code error;
  const auto permissions = std::filesystem::status(path, error).permissions();
  const Result<std::string> present = read_file(path);
  if (present && !error && *present == content &&
      permissions == static_cast<std::filesystem::perms>(mode))
    return {};
  if (Status made = make_directories(std::filesystem::path(path).parent_path()); !made) return made;
  return write_file(path, content, mode);
}

Status remove_if_there(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return fail(from_errno("remove " + path));
}

}  // namespace

Result<std::string> default_cni_binary() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return fail(from_errno("read /proc/self/exe", error.value()));
  return (self.parent_path() / "sluice-cni").string();
}

std::string conflist(const InstallSettings& settings) {
  using json = nlohmann::ordered_json;
  json plugin{{"type", "sluice-cni"}};
  if (!settings.socket.empty()) plugin["socket"] = settings.socket;
  if (!settings.queue_dir.empty()) plugin["queueDir"] = settings.queue_dir;
  // libcni up to 1.1 (containerd 1.6) reads cniVersion and knows none above 1.0.0; from 1.2 on it
  // takes the highest of both keys that it knows.
  const json list{{"cniVersion", "1.0.0"},
                  {"cniVersions", {"0.4.0", "1.0.0", "1.1.0"}},
                  {"name", settings.network},
                  {"plugins", json::array({plugin})}};
  return list.dump(2) + "\n";
}

Status install_cni(const InstallSettings& settings) {
  Result<std::string> source =
      settings.binary.empty() ? default_cni_binary() : Result<std::string>(settings.binary);
  if (!source) return fail(within("install sluice-cni", source.error()));
  const Result<std::string> binary = read_file(*source);
  if (!binary) return fail(within("install sluice-cni", binary.error()));
  if (Status done = put(binary_path(settings), *binary, 0755); !done) {
    return fail(within("install sluice-cni", done.error()));
  }
  if (Status done = put(conflist_path(settings), conflist(settings), 0644); !done) {
    return fail(within("install the network configuration", done.error()));
  }
  return {};
}

Status uninstall_cni(const InstallSettings& settings) {
  // The list first: without it no runtime starts the binary.
  if (Status done = remove_if_there(conflist_path(settings)); !done) return done;
  return remove_if_there(binary_path(settings));
}

}  // namespace sluice
