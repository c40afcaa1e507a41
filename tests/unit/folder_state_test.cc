// SPDX-License-Identifier: Apache-2.0
// What the files of a folder mean together: which definition counts, what a broken one leaves
// standing, and what each step says has changed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "operator/source/manifests/merge.h"
#include "operator/source/manifests/parse.h"
#include "tests/unit/manifest_samples.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A folder, and the objects as someone has them who follows its changes.
struct Folder {
  void take(const std::string& file, const std::string& text) {
    changes.clear();
    state.take(file, parse_documents(file, text), changes);
    follow(changes, objects);
  }
  void remove(const std::string& file) {
    changes.clear();
    state.remove(file, changes);
    follow(changes, objects);
  }
  FolderState state{};
  Objects objects{};
  std::vector<ObjectChange> changes{};  // of the last step
};

TEST(FolderState, ObjectInTwoFilesBelongsToTheFirstName) {
  Folder folder;
  folder.take("b.yaml", pod_text("a", "spec: {nodeName: late}\n"));
  folder.take("a.yaml", pod_text("a", "spec: {nodeName: early}\n"));

  ASSERT_EQ(folder.objects.pods.size(), 1U);
  EXPECT_EQ(folder.objects.pods[0].node, "early");
  EXPECT_THAT(texts(folder.state.problems()),
              ElementsAre(HasSubstr(
                  "b.yaml:2:1: Pod demo/a: metadata.name: is also defined in a.yaml line 2")));
  folder.take("b.yaml", pod_text("a", "spec: {nodeName: later}\n"));
  EXPECT_THAT(folder.changes, IsEmpty());

  folder.remove("a.yaml");
  EXPECT_EQ(folder.objects.pods[0].node, "later");
  EXPECT_THAT(folder.state.problems(), IsEmpty());

  folder.remove("b.yaml");
  EXPECT_THAT(folder.objects.pods, IsEmpty());
  EXPECT_THAT(folder.state.files(), IsEmpty());
}

TEST(FolderState, BrokenFileKeepsItsLastGoodObjectsOnly) {
  Folder folder;
  folder.take("a.yaml", pod_text("a") + pod_text("b"));
  folder.take("z.yaml", pod_text("z"));

  folder.take("a.yaml", "{");
  folder.take("z.yaml", pod_text("y"));

  EXPECT_THAT(names(folder.objects), ElementsAre("a", "b", "y"));
  EXPECT_EQ(folder.state.problems().size(), 1U);

  folder.take("a.yaml", "[");  // still broken: the state is not lost the second time
  EXPECT_THAT(names(folder.objects), ElementsAre("a", "b", "y"));

  folder.take("a.yaml", pod_text("b"));
  EXPECT_THAT(names(folder.objects), ElementsAre("b", "y"));
  EXPECT_THAT(folder.state.problems(), IsEmpty());
}

TEST(FolderState, BrokenObjectKeepsItsLastGoodStateWhileTheRestOfItsFileMovesOn) {
  Folder folder;
  folder.take("a.yaml", pod_text("a", "spec: {nodeName: good}\n") + pod_text("b") + pod_text("c"));

  folder.take("a.yaml", pod_text("a", "spec: {nodeName: [bad]}\n") +
                            pod_text("b", "spec: {nodeName: new}\n"));

  EXPECT_THAT(names(folder.objects), ElementsAre("a", "b"));  // c was taken out in earnest
  EXPECT_EQ(folder.objects.pods[0].node, "good");
  EXPECT_EQ(folder.objects.pods[1].node, "new");
  EXPECT_EQ(folder.state.problems().size(), 1U);
}

TEST(FolderState, ObjectThatLostItsNameStays) {
  Folder folder;
  folder.take("a.yaml", pod_text("a") + pod_text("b"));

  folder.take("a.yaml", pod_text("a") + "---\napiVersion: v1\nkind: Pod\nmetadata: {}\n");

  EXPECT_THAT(names(folder.objects), ElementsAre("a", "b"));
}

TEST(FolderState, IgnoredKindsAreCountedOverAllFiles) {
  Folder folder;
  const std::string set = "---\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: d}\n";
  folder.take("a.yaml", set + set);
  folder.take("b.yaml", set);
  EXPECT_THAT(folder.state.ignored_kinds(), ElementsAre(testing::Pair("apps/v1 DaemonSet", 3U)));

  folder.take("a.yaml", pod_text("a"));
  EXPECT_THAT(folder.state.ignored_kinds(), ElementsAre(testing::Pair("apps/v1 DaemonSet", 1U)));

  folder.remove("b.yaml");
  EXPECT_THAT(folder.state.ignored_kinds(), IsEmpty());
}

// Whatever came in whatever order: who follows the changes has the first definition of each object,
// as if the folder had been read just now.
TEST(FolderState, ChangesLeadToWhatTheFolderMeansNow) {
  std::mt19937 random(5);
  const auto pick = [&](int count) { return static_cast<int>(random() % count); };
  Folder folder;
  std::map<std::string, std::string> files;
  for (int step = 0; step < 400; ++step) {
    const std::string file = std::string(1, static_cast<char>('a' + pick(4))) + ".yaml";
    if (pick(4) == 0) {
      files.erase(file);
      folder.remove(file);
    } else {
      std::string text;
      for (int pod = 0; pod < 6; ++pod) {
        if (pick(2) == 0) continue;
        const std::string spec = "spec: {nodeName: n" + std::to_string(pick(3)) + "}\n";
        text += pod_text("p" + std::to_string(pod), spec);
      }
      files[file] = text;
      folder.take(file, text);
    }
    Folder fresh;
    for (const auto& [name, text] : files) fresh.take(name, text);
    ASSERT_EQ(folder.objects, fresh.objects) << "step " << step;
    ASSERT_EQ(texts(folder.state.problems()), texts(fresh.state.problems())) << "step " << step;
    std::map<std::string, std::string> first;
    for (const auto& [name, text] : files) {
      for (const PodObject& pod : parse_documents(name, text).objects.pods)
        first.emplace(pod.name, pod.node);
    }
    std::map<std::string, std::string> held;
    for (const PodObject& pod : folder.objects.pods) held.emplace(pod.name, pod.node);
    ASSERT_EQ(held, first) << "step " << step;
  }
}

}  // namespace
}  // namespace sluice
