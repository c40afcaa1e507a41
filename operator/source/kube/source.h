// SPDX-License-Identifier: Apache-2.0
// The Kubernetes API as the source of objects: one watch a kind, over one connection.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "operator/source/kube/reflector.h"

namespace sluice {

// Thread: the loop's. The callbacks are called from the loop and do not destroy the source.
class KubeSource {
 public:
  // What is another now, in the order of each kind; from the first page of the first list on.
  using OnChanges = std::function<void(std::vector<ObjectChange>)>;
  // Every kind has been listed: from here on what was not handed over does not exist. Once.
  using OnSynced = std::function<void()>;

  // api and timers outlive it.
  KubeSource(ApiClient& api, Timers& timers, Random random, OnChanges on_changes,
             OnSynced on_synced);
  KubeSource(const KubeSource&) = delete;
  KubeSource& operator=(const KubeSource&) = delete;

  // Before start().
  void add(KindSpec spec, Reflector::Timing timing);
  void start();

  bool synced() const { return listed_ == reflectors_.size(); }
  const std::vector<std::unique_ptr<Reflector>>& kinds() const { return reflectors_; }

 private:
  ApiClient& api_;
  Timers& timers_;
  Random random_;
  OnChanges on_changes_;
  OnSynced on_synced_;
  StorePools pools_;
  size_t listed_ = 0;
  std::vector<std::unique_ptr<Reflector>> reflectors_;  // their stores refer to pools_
};

}  // namespace sluice
