// SPDX-License-Identifier: Apache-2.0
// This agent's numbers of identities: content -> dense u32, for its own maps only; kept over
// restarts on disk.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "lib/result/result.h"

namespace sluice {

class IdentityNumbers {
 public:
  // Loads <state_dir>/identities.json; absent: starts empty. A file that cannot be understood is
  // set aside as identities.json.corrupt and logged: the numbers mean something to this agent only,
  // so new ones may be given.
  static Result<IdentityNumbers> open(const std::string& state_dir);

  // Gives a number to each name that has none. True where one was given.
  bool number(const std::set<std::string>& names);
  // Forgets the numbers of names that are not in `names`. A number is never given twice, forgotten
  // ones included.
  bool forget_others(const std::set<std::string>& names);
  Status save() const;

  const std::map<std::string, uint32_t>& numbers() const { return numbers_; }

 private:
  std::string path_;
  uint32_t next_ = 0;
  std::map<std::string, uint32_t> numbers_;
};

}  // namespace sluice
