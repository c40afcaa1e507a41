// SPDX-License-Identifier: Apache-2.0
// The operator's figures for machines.
#include "operator/metrics/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace sluice {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

constexpr std::chrono::seconds kSilentLoop{10};

class Text {
 public:
  // Starts a family; values follow.
  Text& family(const char* name, const char* help, MetricType type) {
    families_.push_back({name, help, type, {}});
    return *this;
  }
  Text& add(Labels labels, double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    // Of the two only the one that the family's type names is printed.
    metric.counter.value = value;
    metric.gauge.value = value;
    families_.back().metric.push_back(std::move(metric));
    return *this;
  }
  Text& add(const char* label, const std::map<std::string, uint64_t>& values) {
    for (const auto& [name, value] : values) add({{label, name}}, static_cast<double>(value));
    return *this;
  }
  Text& add(uint64_t value) { return add(Labels{}, static_cast<double>(value)); }
  std::string result() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  std::vector<MetricFamily> families_;
};

void add_kinds(Text& text, const std::vector<KindFigures>& kinds) {
  const auto each = [&](const char* name, const char* help, MetricType type, auto value) {
    text.family(name, help, type);
    for (const KindFigures& kind : kinds)
      text.add({{"kind", kind.kind}}, static_cast<double>(value(kind)));
  };
  each("sluice_operator_objects", "Objects that are known, by kind.", MetricType::Gauge,
       [](const KindFigures& kind) { return kind.objects; });
  each("sluice_operator_object_changes_total", "Changes that mean something to us.",
       MetricType::Counter, [](const KindFigures& kind) { return kind.changes; });
  each("sluice_operator_decode_errors_total", "Objects that could not be read.",
       MetricType::Counter, [](const KindFigures& kind) { return kind.decode_errors; });
  each("sluice_operator_lists_total", "Lists that came to their end.", MetricType::Counter,
       [](const KindFigures& kind) { return kind.lists; });
  each("sluice_operator_watches_total", "Watches that the API server took.", MetricType::Counter,
       [](const KindFigures& kind) { return kind.watches; });
  each("sluice_operator_synced", "1 once the kind has been listed.", MetricType::Gauge,
       [](const KindFigures& kind) { return kind.synced ? 1 : 0; });
  each("sluice_operator_watch_lag_seconds", "Since the API server was last heard.",
       MetricType::Gauge, [](const KindFigures& kind) { return kind.lag_s; });
  text.family("sluice_operator_watch_restarts_total", "Lists and watches begun anew, by reason.",
              MetricType::Counter);
  for (const KindFigures& kind : kinds) {
    for (const auto& [reason, count] : kind.restarts)
      text.add({{"kind", kind.kind}, {"reason", reason}}, static_cast<double>(count));
  }
}

void add_stream(Text& text, const StreamFigures& stream) {
  text.family("sluice_operator_agents", "Agents with an open stream.", MetricType::Gauge)
      .add(stream.connected);
  text.family("sluice_operator_streams_refused_total", "Streams sent away, by cause.",
              MetricType::Counter)
      .add("cause", stream.refused);
  text.family("sluice_operator_streams_opened_total", "How much agents had to be sent at first.",
              MetricType::Counter)
      .add("with", stream.openings);
  text.family("sluice_operator_streams_superseded_total", "Ended by a newer one of the same node.",
              MetricType::Counter)
      .add(stream.superseded);
  text.family("sluice_operator_stream_messages_total", "Messages sent.", MetricType::Counter)
      .add(stream.messages);
  text.family("sluice_operator_stream_bytes_total", "Bytes sent.", MetricType::Counter)
      .add(stream.bytes);
  text.family("sluice_operator_revision", "Of the newest change of the intent.", MetricType::Gauge)
      .add(stream.revision);
  text.family("sluice_operator_intent_objects", "Objects of the intent.", MetricType::Gauge)
      .add(stream.objects);
}

}  // namespace

StreamFigures stream_figures(const StreamCounters& counters) {
  StreamFigures figures;
  figures.refused = {{"token", counters.refused_token},
                     {"node", counters.refused_node},
                     {"protocol", counters.refused_protocol},
                     {"later", counters.refused_later}};
  figures.openings = {{"snapshot", counters.snapshots},
                      {"difference", counters.differences},
                      {"resumed", counters.resumed},
                      {"restarted", counters.restarted}};
  figures.superseded = counters.superseded;
  figures.messages = counters.messages;
  figures.bytes = counters.bytes;
  return figures;
}

std::string metrics_text(const OperatorFigures& figures) {
  Text text;
  text.family("sluice_operator_build_info", "Always 1; says which build runs.", MetricType::Gauge)
      .add({{"version", figures.version}, {"commit", figures.commit}}, 1);
  add_kinds(text, figures.kinds);
  text.family("sluice_operator_api_requests_total", "Requests to the API server, by outcome.",
              MetricType::Counter)
      .add("outcome", figures.requests);
  text.family("sluice_operator_api_failovers_total", "Times another API server was taken.",
              MetricType::Counter)
      .add(figures.failovers);
  text.family("sluice_operator_intent_problems", "Objects that contradict each other.",
              MetricType::Gauge)
      .add(figures.intent_problems);
  text.family("sluice_operator_leader", "1 while this replica leads.", MetricType::Gauge)
      .add(figures.leads ? 1 : 0);
  text.family("sluice_operator_certificate_end_seconds",
              "When this replica's certificate ends, since 1970; 0: it has none.",
              MetricType::Gauge)
      .add({}, static_cast<double>(figures.certificate_until));
  text.family("sluice_operator_nodes_marked_total", "Nodes told that their network is there.",
              MetricType::Counter)
      .add(figures.nodes_marked);
  text.family("sluice_operator_nodes_pending", "Nodes that are being told.", MetricType::Gauge)
      .add(figures.nodes_pending);
  text.family("sluice_operator_node_failures_total", "Attempts to tell a node that failed.",
              MetricType::Counter)
      .add(figures.node_failures);
  add_stream(text, figures.stream);
  return text.result();
}

void PublishedFigures::set(OperatorFigures figures, Time now) {
  const std::lock_guard lock(mutex_);
  figures_ = std::move(figures);
  at_ = now;
}

OperatorFigures PublishedFigures::get() const {
  const std::lock_guard lock(mutex_);
  return figures_;
}

std::vector<std::string> PublishedFigures::failing(Time now) const {
  const std::lock_guard lock(mutex_);
  auto failing = figures_.failing;
  const auto silent = std::chrono::duration_cast<std::chrono::seconds>(now - at_);
  if (silent >= kSilentLoop)
    failing.push_back("loop: has been busy for " + std::to_string(silent.count()) + " s");
  return failing;
}

}  // namespace sluice
