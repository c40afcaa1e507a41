// SPDX-License-Identifier: Apache-2.0
// What the files of a folder mean together: the last good state of each, joined in the order of
// their names. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "operator/source/changes.h"
#include "operator/source/manifests/parse.h"
#include "operator/source/objects.h"

namespace sluice {

using FileProblems = std::map<std::string, std::vector<SourceProblem>>;  // by file

// The objects of one kind, and the files that define each.
template <class T>
class Definitions {
 public:
  using Key = std::pair<std::string, std::string>;  // namespace, name

  explicit Definitions(const char* kind) : kind_(kind) {}

  // The file defines these, and of those that it defined before the ones that `keep` wants.
  template <class Keep>
  void take(const std::string& file, std::vector<T> objects, const Keep& keep,
            std::vector<ObjectChange>& changes);
  void add_problems(FileProblems& problems) const;

 private:
  void define(const std::string& file, const Key& key, T object,
              std::vector<ObjectChange>& changes);
  void undefine(const std::string& file, const Key& key, std::vector<ObjectChange>& changes);

  const char* kind_;
  std::map<Key, std::map<std::string, T>> objects_;  // by file, of which the first counts
  std::map<std::string, std::set<Key>> keys_;        // of each file that has any
  std::set<Key> repeated_;                           // in more than one file
};

class FolderState {
 public:
  // The file's new content. An object that it had before and that is broken in it now, or that it
  // may still mean to have (parsed.incomplete), stays as it was. Adds to `changes` what is another
  // in the folder now; costs what the file holds and held, not what the folder does.
  void take(const std::string& file, ParsedFile parsed, std::vector<ObjectChange>& changes);
  void remove(const std::string& file, std::vector<ObjectChange>& changes);

  const std::set<std::string>& files() const { return files_; }
  // In the order of the files. Of an object in several files the first in the order of the names
  // counts; the others are reported. Costs what there is to report.
  std::vector<SourceProblem> problems() const;
  const std::map<std::string, uint32_t>& ignored_kinds() const { return ignored_kinds_; }

 private:
  using Kinds = std::map<std::string, uint32_t>;

  void count_ignored(const std::string& file, Kinds kinds);

  std::set<std::string> files_;
  FileProblems problems_;                 // of files that have any
  std::map<std::string, Kinds> ignored_;  // of files that have any
  Kinds ignored_kinds_;                   // their sum
  Definitions<NodeObject> nodes_{"Node"};
  Definitions<NamespaceObject> namespaces_{"Namespace"};
  Definitions<PodObject> pods_{"Pod"};
};

}  // namespace sluice
