// SPDX-License-Identifier: Apache-2.0
// Figures that others own, turned into metric families while a scrape waits.
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <vector>

#include "agent/metrics/metrics.h"

namespace sluice {

class SourceCollector : public prometheus::Collectable {
 public:
  explicit SourceCollector(MetricsSources sources) : sources_(std::move(sources)) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  void collect_datapath(std::vector<prometheus::MetricFamily>& families) const;
  void collect_agent(std::vector<prometheus::MetricFamily>& families) const;

  MetricsSources sources_;
};

}  // namespace sluice
