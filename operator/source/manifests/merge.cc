// SPDX-License-Identifier: Apache-2.0
// What the files of a folder mean together.
#include "operator/source/manifests/merge.h"

#include <set>
#include <utility>

namespace sluice {
namespace {

using Key = std::pair<std::string, std::string>;  // namespace, name

Key key_of(const NodeObject& node) {
  return {"", node.name};
}
Key key_of(const NamespaceObject& object) {
  return {"", object.name};
}
Key key_of(const PodObject& pod) {
  return {pod.namespace_name, pod.name};
}

// Adds to `now` what only `before` has and `keep` wants.
template <class T, class Keep>
void keep_last_good(const std::vector<T>& before, std::vector<T>& now, const Keep& keep) {
  std::set<Key> have;
  for (const T& object : now) have.insert(key_of(object));
  for (const T& object : before) {
    if (!have.contains(key_of(object)) && keep(key_of(object))) now.push_back(object);
  }
}

template <class T>
class Joiner {
 public:
  explicit Joiner(const char* kind) : kind_(kind) {}

  void add(const std::vector<T>& from, std::vector<T>& to, std::vector<SourceProblem>& problems) {
    for (const T& object : from) {
      const auto [first, is_new] = seen_.emplace(key_of(object), object.origin);
      if (is_new) {
        to.push_back(object);
        continue;
      }
      problems.push_back({.origin = object.origin,
                          .kind = kind_,
                          .namespace_name = key_of(object).first,
                          .name = object.name,
                          .field = "metadata.name",
                          .what = "is also defined in " + first->second.file + " line " +
                                  std::to_string(first->second.line) + ": that one is used"});
    }
  }

 private:
  const char* kind_;
  std::map<Key, Origin> seen_;
};

}  // namespace

void FolderState::take(const std::string& file, ParsedFile parsed) {
  const ParsedFile before = std::exchange(files_[file], ParsedFile{});
  std::set<std::pair<std::string, Key>> broken;
  for (const SourceProblem& problem : parsed.problems) {
    broken.insert({problem.kind, {problem.namespace_name, problem.name}});
  }
  const auto keep = [&](const char* kind) {
    return [&, kind](const Key& key) { return parsed.incomplete || broken.contains({kind, key}); };
  };
  keep_last_good(before.objects.nodes, parsed.objects.nodes, keep("Node"));
  keep_last_good(before.objects.namespaces, parsed.objects.namespaces, keep("Namespace"));
  keep_last_good(before.objects.pods, parsed.objects.pods, keep("Pod"));
  files_[file] = std::move(parsed);
}

std::vector<std::string> FolderState::files() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : files_) names.push_back(name);
  return names;
}

Merged FolderState::merge() const {
  Merged merged;
  Joiner<NodeObject> nodes("Node");
  Joiner<NamespaceObject> namespaces("Namespace");
  Joiner<PodObject> pods("Pod");
  for (const auto& [name, file] : files_) {
    merged.problems.insert(merged.problems.end(), file.problems.begin(), file.problems.end());
    nodes.add(file.objects.nodes, merged.objects.nodes, merged.problems);
    namespaces.add(file.objects.namespaces, merged.objects.namespaces, merged.problems);
    pods.add(file.objects.pods, merged.objects.pods, merged.problems);
  }
  return merged;
}

std::map<std::string, uint32_t> FolderState::ignored_kinds() const {
  std::map<std::string, uint32_t> sum;
  for (const auto& [name, file] : files_) {
    for (const auto& [kind, count] : file.ignored_kinds) sum[kind] += count;
  }
  return sum;
}

}  // namespace sluice
