// SPDX-License-Identifier: Apache-2.0
// What the files of a folder mean together: the last good state of each, joined in the order of
// their names. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "operator/source/manifests/parse.h"
#include "operator/source/objects.h"

namespace sluice {

struct Merged {
  Objects objects;
  std::vector<SourceProblem> problems;

  bool operator==(const Merged&) const = default;
};

class FolderState {
 public:
  // The file's new content. An object that it had before and that is broken in it now, or that it
  // may still mean to have (parsed.incomplete), stays as it was.
  void take(const std::string& file, ParsedFile parsed);
  void remove(const std::string& file) { files_.erase(file); }

  std::vector<std::string> files() const;
  // Of an object in several files the first in the order of the names counts; the others are
  // reported.
  Merged merge() const;
  std::map<std::string, uint32_t> ignored_kinds() const;

 private:
  std::map<std::string, ParsedFile> files_;
};

}  // namespace sluice
