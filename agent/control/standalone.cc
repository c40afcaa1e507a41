// SPDX-License-Identifier: Apache-2.0
// Intent without an operator.
#include "agent/control/standalone.h"

#include <iterator>
#include <utility>

#include "operator/resolve/resolve.h"

namespace sluice {

StandaloneSource::StandaloneSource(OnIntent on_intent) : on_intent_(std::move(on_intent)) {}

Result<std::unique_ptr<StandaloneSource>> StandaloneSource::open(asio::io_context& loop,
                                                                 const std::string& folder,
                                                                 OnIntent on_intent) {
  std::unique_ptr<StandaloneSource> source(new StandaloneSource(std::move(on_intent)));
  auto manifests = ManifestSource::open(
      loop, folder, [self = source.get()](const auto& objects, const auto& problems) {
        self->take(objects, problems);
      });
  if (!manifests) return fail(within("standalone", manifests.error()));
  source->manifests_ = std::move(*manifests);
  return source;
}

void StandaloneSource::take(const Objects& objects, const std::vector<SourceProblem>& problems) {
  Resolution resolution = resolve(objects);
  std::vector<SourceProblem> all = problems;
  all.insert(all.end(), std::make_move_iterator(resolution.problems.begin()),
             std::make_move_iterator(resolution.problems.end()));
  const bool first = last_.revision == 0;
  const bool same_intent = !first && resolution.intent == last_;
  if (same_intent && all == last_problems_) return;
  resolution.intent.revision = last_.revision + (same_intent ? 0 : 1);
  last_ = std::move(resolution.intent);
  last_problems_ = all;
  on_intent_(last_, std::move(all));
}

}  // namespace sluice
