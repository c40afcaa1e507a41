// SPDX-License-Identifier: Apache-2.0
// The Kubernetes API as the source of objects.
#include "operator/source/kube/source.h"

#include <utility>

namespace sluice {

KubeSource::KubeSource(ApiClient& api, Timers& timers, Random random, OnChanges on_changes,
                       OnSynced on_synced)
    : api_(api),
      timers_(timers),
      random_(std::move(random)),
      on_changes_(std::move(on_changes)),
      on_synced_(std::move(on_synced)) {}

void KubeSource::add(KindSpec spec, Reflector::Timing timing) {
  Reflector::Sink sink{.changes = on_changes_, .synced = [this] {
                         listed_++;
                         if (synced() && on_synced_) on_synced_();
                       }};
  reflectors_.push_back(std::make_unique<Reflector>(
      Reflector::Parts{.api = api_, .timers = timers_, .pools = pools_, .random = random_},
      std::move(spec), timing, std::move(sink)));
}

void KubeSource::start() {
  for (const auto& reflector : reflectors_) reflector->start();
}

}  // namespace sluice
