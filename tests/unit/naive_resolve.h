// SPDX-License-Identifier: Apache-2.0
// Resolve as a batch, as plain as it can be said: what the incremental one has to agree with.
#pragma once

#include "operator/resolve/resolve.h"

namespace sluice {

struct Resolution {
  Intent intent{};  // revision 0
  std::vector<SourceProblem> problems{};
};

Resolution naive_resolve(const Objects& objects);

}  // namespace sluice
