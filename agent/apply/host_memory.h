// SPDX-License-Identifier: Apache-2.0
// Inside apply: what we changed on the node that was not ours, so that cleanup can put it back.
// Grammar of <state_dir>/host-changes: line*; line = "sysctl " path " " former " " ours | "clsact "
// device.
#pragma once

#include <map>
#include <set>
#include <string>

#include "lib/result/result.h"

namespace sluice {

struct SysctlChange {
  std::string former;
  std::string ours;
  bool operator==(const SysctlChange&) const = default;
};

// Written before the change is made: whatever a crash interrupts can be put back.
class HostMemory {
 public:
  // folder empty: remembers nothing. What is in the file is taken over, lines of no meaning are
  // skipped.
  static Result<HostMemory> open(const std::string& folder);

  // path: below /proc/sys/net. The first former value is the one to go back to.
  Status remember_sysctl(const std::string& path, const std::string& former,
                         const std::string& ours);
  // A qdisc that we made on somebody else's device.
  Status remember_clsact(const std::string& device);

  const std::map<std::string, SysctlChange>& sysctls() const { return sysctls_; }
  const std::set<std::string>& clsacts() const { return clsacts_; }

 private:
  Status save() const;
  void take_line(const std::string& line);

  std::string path_;
  std::map<std::string, SysctlChange> sysctls_;
  std::set<std::string> clsacts_;
};

}  // namespace sluice
