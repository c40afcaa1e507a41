// SPDX-License-Identifier: Apache-2.0
// What the files of a folder mean together.
#include "operator/source/manifests/merge.h"

namespace sluice {
namespace {

using Key = std::pair<std::string, std::string>;

Key key_of(const NodeObject& node) {
  return {"", node.name};
}
Key key_of(const NamespaceObject& object) {
  return {"", object.name};
}
Key key_of(const PodObject& pod) {
  return {pod.namespace_name, pod.name};
}

template <class T>
ObjectChange removal(const Key& key) {
  T gone;
  gone.name = key.second;
  if constexpr (requires { gone.namespace_name; }) gone.namespace_name = key.first;
  return {.object = std::move(gone), .removed = true};
}

}  // namespace

template <class T>
template <class Keep>
void Definitions<T>::take(const std::string& file, std::vector<T> objects, const Keep& keep,
                          std::vector<ObjectChange>& changes) {
  const std::set<Key> before = std::exchange(keys_[file], {});
  std::set<Key>& now = keys_[file];
  for (T& object : objects) {
    const Key key = key_of(object);
    now.insert(key);
    define(file, key, std::move(object), changes);
  }
  for (const Key& key : before) {
    if (now.contains(key)) continue;
    if (keep(key)) {
      now.insert(key);
    } else {
      undefine(file, key, changes);
    }
  }
  if (now.empty()) keys_.erase(file);
}

template <class T>
void Definitions<T>::define(const std::string& file, const Key& key, T object,
                            std::vector<ObjectChange>& changes) {
  auto& by_file = objects_[key];
  const auto [place, is_new] = by_file.try_emplace(file);
  if (!is_new && place->second == object) return;
  place->second = std::move(object);
  if (by_file.size() > 1) repeated_.insert(key);
  if (place == by_file.begin()) changes.push_back({.object = place->second, .removed = false});
}

template <class T>
void Definitions<T>::undefine(const std::string& file, const Key& key,
                              std::vector<ObjectChange>& changes) {
  const auto found = objects_.find(key);
  auto& by_file = found->second;
  const bool counted = by_file.begin()->first == file;
  by_file.erase(file);
  if (by_file.size() < 2) repeated_.erase(key);
  if (by_file.empty()) {
    objects_.erase(found);
    changes.push_back(removal<T>(key));
  } else if (counted) {
    changes.push_back({.object = by_file.begin()->second, .removed = false});
  }
}

template <class T>
void Definitions<T>::add_problems(FileProblems& problems) const {
  for (const Key& key : repeated_) {
    const auto& by_file = objects_.at(key);
    const Origin& used = by_file.begin()->second.origin;
    for (auto other = std::next(by_file.begin()); other != by_file.end(); ++other) {
      problems[other->first].push_back({.origin = other->second.origin,
                                        .kind = kind_,
                                        .namespace_name = key.first,
                                        .name = key.second,
                                        .field = "metadata.name",
                                        .what = "is also defined in " + used.file + " line " +
                                                std::to_string(used.line) + ": that one is used"});
    }
  }
}

void FolderState::take(const std::string& file, ParsedFile parsed,
                       std::vector<ObjectChange>& changes) {
  files_.insert(file);
  std::set<std::pair<std::string, Key>> broken;
  for (const SourceProblem& problem : parsed.problems) {
    broken.insert({problem.kind, {problem.namespace_name, problem.name}});
  }
  const auto keep = [&](const char* kind) {
    return [&, kind](const Key& key) { return parsed.incomplete || broken.contains({kind, key}); };
  };
  nodes_.take(file, std::move(parsed.objects.nodes), keep("Node"), changes);
  namespaces_.take(file, std::move(parsed.objects.namespaces), keep("Namespace"), changes);
  pods_.take(file, std::move(parsed.objects.pods), keep("Pod"), changes);
  problems_.erase(file);
  if (!parsed.problems.empty()) problems_[file] = std::move(parsed.problems);
  count_ignored(file, std::move(parsed.ignored_kinds));
}

void FolderState::remove(const std::string& file, std::vector<ObjectChange>& changes) {
  if (!files_.contains(file)) return;
  take(file, ParsedFile{}, changes);
  files_.erase(file);
}

void FolderState::count_ignored(const std::string& file, Kinds kinds) {
  if (const auto before = ignored_.find(file); before != ignored_.end()) {
    for (const auto& [kind, count] : before->second) {
      const auto sum = ignored_kinds_.find(kind);
      sum->second -= count;
      if (sum->second == 0) ignored_kinds_.erase(sum);
    }
    ignored_.erase(before);
  }
  if (kinds.empty()) return;
  for (const auto& [kind, count] : kinds) ignored_kinds_[kind] += count;
  ignored_[file] = std::move(kinds);
}

std::vector<SourceProblem> FolderState::problems() const {
  FileProblems by_file = problems_;
  nodes_.add_problems(by_file);
  namespaces_.add_problems(by_file);
  pods_.add_problems(by_file);
  std::vector<SourceProblem> all;
  for (const auto& [file, problems] : by_file)
    all.insert(all.end(), problems.begin(), problems.end());
  return all;
}

}  // namespace sluice
