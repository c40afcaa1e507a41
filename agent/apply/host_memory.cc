// SPDX-License-Identifier: Apache-2.0
#include "agent/apply/host_memory.h"

#include <sstream>

#include "lib/fd/fd.h"

namespace sluice {

void HostMemory::take_line(const std::string& line) {
  std::istringstream words(line);
  std::string kind;
  std::string name;
  SysctlChange change;
  words >> kind >> name;
  if (kind == "clsact" && !name.empty()) clsacts_.insert(name);
  if (kind == "sysctl" && words >> change.former >> change.ours) sysctls_.emplace(name, change);
}

Result<HostMemory> HostMemory::open(const std::string& folder) {
  HostMemory memory;
  if (folder.empty()) return memory;
  memory.path_ = folder + "/host-changes";
  const auto text = read_file(memory.path_);
  if (!text && text.error().code == ErrorCode::kNotFound) return memory;
  if (!text) return fail(within("what was changed on the host", text.error()));
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) memory.take_line(line);
  return memory;
}

Status HostMemory::save() const {
  if (path_.empty()) return {};
  std::string text;
  for (const auto& [path, change] : sysctls_)
    text += "sysctl " + path + " " + change.former + " " + change.ours + "\n";
  for (const std::string& device : clsacts_) text += "clsact " + device + "\n";
  const auto written = write_file(path_, text);
  return written ? written : fail(within("remember a change of the host", written.error()));
}

Status HostMemory::remember_sysctl(const std::string& path, const std::string& former,
                                   const std::string& ours) {
  const auto [known, is_new] = sysctls_.emplace(path, SysctlChange{.former = former, .ours = ours});
  if (!is_new && known->second.ours == ours) return {};
  known->second.ours = ours;
  return save();
}

Status HostMemory::remember_clsact(const std::string& device) {
  if (!clsacts_.insert(device).second) return {};
  return save();
}

}  // namespace sluice
