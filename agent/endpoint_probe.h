// SPDX-License-Identifier: Apache-2.0
// CNI CHECK's look at the data plane: apply's inspection behind the interface that pods asks.
#pragma once

#include <functional>
#include <utility>

#include "agent/apply/inspect.h"
#include "agent/pods/pod_service.h"

namespace sluice {

class DatapathProbe final : public EndpointProbe {
 public:
  // Indices of the uplinks and the overlay device, as of now.
  using Devices = std::function<std::vector<uint32_t>()>;

  // reader must outlive the probe.
  DatapathProbe(const DatapathReader& reader, Devices devices)
      : reader_(reader), devices_(std::move(devices)) {}
  std::vector<std::string> problems(const LocalEndpoint& endpoint) override {
    auto all = datapath_problems(reader_, endpoint);
    for (std::string& each : node_problems(endpoint, devices_())) all.push_back(std::move(each));
    return all;
  }

 private:
  const DatapathReader& reader_;
  Devices devices_;
};

}  // namespace sluice
