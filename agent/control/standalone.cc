// SPDX-License-Identifier: Apache-2.0
// Intent without an operator.
#include "agent/control/standalone.h"

#include <iterator>
#include <utility>

namespace sluice {

StandaloneSource::StandaloneSource(OnIntent on_intent) : on_intent_(std::move(on_intent)) {}

Result<std::unique_ptr<StandaloneSource>> StandaloneSource::open(asio::io_context& loop,
                                                                 const std::string& folder,
                                                                 OnIntent on_intent) {
  std::unique_ptr<StandaloneSource> source(new StandaloneSource(std::move(on_intent)));
  auto manifests = ManifestSource::open(
      loop, folder, [self = source.get()](const auto& changes, const auto& problems) {
        self->take(changes, problems);
      });
  if (!manifests) return fail(within("standalone", manifests.error()));
  source->manifests_ = std::move(*manifests);
  return source;
}

void StandaloneSource::take(const std::vector<ObjectChange>& changes,
                            std::vector<SourceProblem> problems) {
  IntentDelta delta = resolver_.apply(changes);
  std::vector<SourceProblem> resolved = resolver_.problems();
  problems.insert(problems.end(), std::make_move_iterator(resolved.begin()),
                  std::make_move_iterator(resolved.end()));
  const bool first = revision_ == 0;
  if (!first && delta.empty() && problems == last_problems_) return;
  if (first || !delta.empty()) ++revision_;
  delta.revision = revision_;
  last_problems_ = std::move(problems);
  on_intent_(delta, last_problems_);
}

}  // namespace sluice
