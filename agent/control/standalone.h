// SPDX-License-Identifier: Apache-2.0
// Intent without an operator: the operator's own source and resolve libraries over a folder of
// manifests, in this process.
#pragma once

#include <asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/result/result.h"
#include "operator/resolve/resolve.h"
#include "operator/source/manifests/source.h"

namespace sluice {

class StandaloneSource {
 public:
  // delta: against the call before; at the first, everything. problems: all that is wrong with the
  // manifests now, of files first, then of what the objects mean together.
  using OnIntent =
      std::function<void(const IntentDelta& delta, const std::vector<SourceProblem>& problems)>;

  // Calls on_intent once from inside open, then whenever the intent or the problems change. The
  // intent's revision starts at 1 and grows only when the intent is another. Errors: those of
  // ManifestSource::open. Thread: the one that runs `loop`.
  static Result<std::unique_ptr<StandaloneSource>> open(asio::io_context& loop,
                                                        const std::string& folder,
                                                        OnIntent on_intent);

 private:
  explicit StandaloneSource(OnIntent on_intent);
  void take(const std::vector<ObjectChange>& changes, std::vector<SourceProblem> problems);

  OnIntent on_intent_;
  Resolver resolver_;
  uint64_t revision_ = 0;
  std::vector<SourceProblem> last_problems_;
  std::unique_ptr<ManifestSource> manifests_;
};

}  // namespace sluice
