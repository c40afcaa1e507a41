// SPDX-License-Identifier: Apache-2.0
// CNI CHECK's look at the data plane: apply's inspection behind the interface that pods asks.
#pragma once

#include "agent/apply/inspect.h"
#include "agent/pods/pod_service.h"

namespace sluice {

class DatapathProbe final : public EndpointProbe {
 public:
  // reader must outlive the probe.
  explicit DatapathProbe(const DatapathReader& reader) : reader_(reader) {}
  std::vector<std::string> problems(const LocalEndpoint& endpoint) override {
    return datapath_problems(reader_, endpoint);
  }

 private:
  const DatapathReader& reader_;
};

}  // namespace sluice
