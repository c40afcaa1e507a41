// SPDX-License-Identifier: Apache-2.0
#include "agent/metrics/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <iterator>
#include <utility>

#include "agent/metrics/sources.h"

namespace sluice {

namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;

double seconds(std::chrono::nanoseconds took) {
  return std::chrono::duration<double>(took).count();
}

Histogram::BucketBoundaries cni_buckets() {
  return {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5};
}
Histogram::BucketBoundaries apply_buckets() {
  return {0.0001, 0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 2, 10};
}

// What a client may call itself is not a label: only the verbs of the specification are.
std::string known_command(std::string_view command) {
  for (const std::string_view known : {"ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"}) {
    if (command == known) return std::string(command);
  }
  return "other";
}

}  // namespace

struct Metrics::Counters {
  explicit Counters(prometheus::Registry& registry)
      : cni_requests(BuildCounter()
                         .Name("sluice_agent_cni_requests_total")
                         .Help("CNI requests answered, by verb and error code (0: success).")
                         .Register(registry)),
        cni_seconds(BuildHistogram()
                        .Name("sluice_agent_cni_duration_seconds")
                        .Help("Time to answer a CNI request.")
                        .Register(registry)),
        apply_seconds(BuildHistogram()
                          .Name("sluice_agent_apply_duration_seconds")
                          .Help("Time to bring the kernel to the desired state.")
                          .Register(registry)
                          .Add({}, apply_buckets())),
        apply_errors(BuildCounter()
                         .Name("sluice_agent_apply_errors_total")
                         .Help("Attempts to bring the kernel to the desired state that failed.")
                         .Register(registry)
                         .Add({})) {}

  Family<Counter>& cni_requests;
  Family<Histogram>& cni_seconds;
  Histogram& apply_seconds;
  Counter& apply_errors;
};

Metrics::Metrics(MetricsSources sources, const std::string& version, const std::string& commit)
    : registry_(std::make_unique<prometheus::Registry>()),
      sources_(std::make_unique<SourceCollector>(std::move(sources))),
      counters_(std::make_unique<Counters>(*registry_)) {
  BuildGauge()
      .Name("sluice_agent_build_info")
      .Help("Always 1; says which build runs.")
      .Register(*registry_)
      .Add({{"version", version}, {"commit", commit}})
      .Set(1);
}

Metrics::~Metrics() = default;

void Metrics::count_cni(std::string_view command, uint32_t code, std::chrono::nanoseconds took) {
  const std::string verb = known_command(command);
  counters_->cni_requests.Add({{"command", verb}, {"code", std::to_string(code)}}).Increment();
  counters_->cni_seconds.Add({{"command", verb}}, cni_buckets()).Observe(seconds(took));
}

void Metrics::count_apply(bool ok, std::chrono::nanoseconds took) {
  counters_->apply_seconds.Observe(seconds(took));
  if (!ok) counters_->apply_errors.Increment();
}

std::string Metrics::scrape() const {
  std::vector<prometheus::MetricFamily> families = registry_->Collect();
  std::vector<prometheus::MetricFamily> read = sources_->Collect();
  families.insert(families.end(), std::make_move_iterator(read.begin()),
                  std::make_move_iterator(read.end()));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace sluice
