// SPDX-License-Identifier: Apache-2.0
// A reflector of one kind over scripted HTTP, and what it hands on as short texts.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "operator/source/kube/reflector.h"
#include "tests/unit/kube_fakes.h"

namespace sluice {

class KubeReflector : public testing::Test {
 protected:
  KubeReflector()
      : client(http, timers, *Credentials::open({.servers = {"https://a:1"}}), zero(), {}) {}

  static Random zero() {
    return [] { return 0.0; };
  }
  void make(KindSpec spec) {
    reflector = std::make_unique<Reflector>(
        Reflector::Parts{.api = client, .timers = timers, .pools = pools, .random = zero()}, spec,
        Reflector::Timing{.backoff = {.first = std::chrono::milliseconds(200),
                                      .longest = std::chrono::seconds(10)}},
        Reflector::Sink{.changes =
                            [this](std::vector<ObjectChange> more) {
                              for (auto& change : more) note(change);
                            },
                        .synced = [this] { synced++; }});
    reflector->start();
  }
  void SetUp() override { make(*built_in_kind("Pod")); }

  void note(const ObjectChange& change) {
    std::string text = change.removed ? "-" : "+";
    if (const auto* pod = std::get_if<PodObject>(&change.object))
      text += pod->name + (change.removed ? "" : "@" + pod->node);
    if (const auto* custom = std::get_if<CustomObject>(&change.object))
      text += custom->name + custom->spec;
    changes.push_back(text);
  }
  // The list is answered with pods a and b at version 10, and a watch runs.
  void begin_watch() {
    http.answer(200, pod_list({kube_pod("a", 1), kube_pod("b", 2)}, 10));
    ASSERT_THAT(http.target(), testing::HasSubstr("watch=1"));
    http.head(200);
    changes.clear();
  }
  const KindMetrics& metrics() const { return reflector->metrics(); }

  ScriptedHttp http;
  ManualTimers timers;
  ApiClient client;
  StorePools pools;
  std::vector<std::string> changes;
  int synced = 0;
  std::unique_ptr<Reflector> reflector;
};

}  // namespace sluice
