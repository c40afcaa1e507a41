// SPDX-License-Identifier: Apache-2.0
#include "agent/metrics/sources.h"

#include <unistd.h>

#include <cstdio>
#include <map>
#include <string>
#include <tuple>
#include <utility>

namespace sluice {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

class FamilyBuilder {
 public:
  FamilyBuilder(const char* name, const char* help, MetricType type) {
    family_.name = name;
    family_.help = help;
    family_.type = type;
  }
  void add(Labels labels, uint64_t value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    // Of the two only the one that the family's type names is printed.
    metric.counter.value = static_cast<double>(value);
    metric.gauge.value = static_cast<double>(value);
    family_.metric.push_back(std::move(metric));
  }
  MetricFamily take() { return std::move(family_); }

 private:
  MetricFamily family_;
};

uint64_t resident_bytes() {
  unsigned long long total = 0;
  unsigned long long resident = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  const int fields = std::fscanf(file, "%llu %llu", &total, &resident);
  std::fclose(file);
  return fields == 2 ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

void add_single(std::vector<MetricFamily>& families, FamilyBuilder family, uint64_t value) {
  family.add({}, value);
  families.push_back(family.take());
}

void add_labelled(std::vector<MetricFamily>& families, FamilyBuilder family, const char* label,
                  const std::vector<LabelledCount>& rows) {
  for (const LabelledCount& row : rows) family.add({{label, row.label}}, row.count);
  families.push_back(family.take());
}

void add_drops(std::vector<MetricFamily>& families, const std::vector<DropSeries>& drops) {
  FamilyBuilder packets("sluice_datapath_drop_packets_total",
                        "Packets dropped, by device, hook and reason.", MetricType::Counter);
  FamilyBuilder bytes("sluice_datapath_drop_bytes_total", "Bytes of dropped packets.",
                      MetricType::Counter);
  // Devices that are gone share the empty name, and a series may come once only.
  std::map<std::tuple<std::string, std::string, std::string>, DropSeries> series;
  for (const DropSeries& drop : drops) {
    DropSeries& sum =
        series
            .try_emplace(
                {drop.device, drop.hook, drop.reason},
                DropSeries{.device = drop.device, .hook = drop.hook, .reason = drop.reason})
            .first->second;
    sum.packets += drop.packets;
    sum.bytes += drop.bytes;
  }
  for (const auto& [key, drop] : series) {
    const Labels labels = {{"device", drop.device}, {"hook", drop.hook}, {"reason", drop.reason}};
    packets.add(labels, drop.packets);
    bytes.add(labels, drop.bytes);
  }
  families.push_back(packets.take());
  families.push_back(bytes.take());
}

void add_maps(std::vector<MetricFamily>& families, const std::vector<MapFill>& maps) {
  FamilyBuilder entries("sluice_datapath_map_entries", "Rows in a kernel table.",
                        MetricType::Gauge);
  FamilyBuilder limits("sluice_datapath_map_max_entries", "Rows that a kernel table can hold.",
                       MetricType::Gauge);
  for (const MapFill& map : maps) {
    entries.add({{"map", map.map}}, map.entries);
    limits.add({{"map", map.map}}, map.max_entries);
  }
  families.push_back(entries.take());
  families.push_back(limits.take());
}

void add_addresses(std::vector<MetricFamily>& families, const std::vector<AddressRange>& ranges) {
  FamilyBuilder family("sluice_agent_addresses",
                       "Pod addresses of this node, by what they are doing.", MetricType::Gauge);
  for (const AddressRange& range : ranges) {
    family.add({{"cidr", range.cidr}, {"state", "used"}}, range.used);
    family.add({{"cidr", range.cidr}, {"state", "resting"}}, range.resting);
    family.add({{"cidr", range.cidr}, {"state", "free"}}, range.free);
  }
  families.push_back(family.take());
}

}  // namespace

std::vector<MetricFamily> SourceCollector::Collect() const {
  std::vector<MetricFamily> families;
  collect_datapath(families);
  collect_agent(families);
  add_single(families,
             FamilyBuilder("process_resident_memory_bytes", "Resident memory of the agent.",
                           MetricType::Gauge),
             resident_bytes());
  return families;
}

void SourceCollector::collect_datapath(std::vector<MetricFamily>& families) const {
  if (sources_.hooks) {
    FamilyBuilder family("sluice_datapath_packets_total",
                         "Packets that a hook saw, and what became of them.", MetricType::Counter);
    for (const HookVerdictCount& row : sources_.hooks()) {
      family.add({{"hook", row.hook}, {"verdict", row.verdict}}, row.packets);
    }
    families.push_back(family.take());
  }
  if (sources_.drops) add_drops(families, sources_.drops());
  if (sources_.maps) add_maps(families, sources_.maps());
}

void SourceCollector::collect_agent(std::vector<MetricFamily>& families) const {
  if (sources_.addresses) add_addresses(families, sources_.addresses());
  if (sources_.events) {
    add_labelled(
        families,
        FamilyBuilder("sluice_agent_events_total", "Kernel events decoded.", MetricType::Counter),
        "kind", sources_.events());
  }
  if (sources_.events_lost) {
    add_labelled(families,
                 FamilyBuilder("sluice_agent_events_lost_total",
                               "Kernel events that became no flow.", MetricType::Counter),
                 "cause", sources_.events_lost());
  }
  if (sources_.flows) {
    add_single(families,
               FamilyBuilder("sluice_agent_flows_total", "Flows observed.", MetricType::Counter),
               sources_.flows());
  }
  if (sources_.endpoints) {
    add_single(
        families,
        FamilyBuilder("sluice_agent_endpoints", "Pod interfaces of this node.", MetricType::Gauge),
        sources_.endpoints());
  }
  if (sources_.intent_problems) {
    add_single(families,
               FamilyBuilder("sluice_agent_intent_problems",
                             "Objects that could not be read or applied.", MetricType::Gauge),
               sources_.intent_problems());
  }
  if (sources_.address_exhausted) {
    add_single(
        families,
        FamilyBuilder("sluice_agent_address_exhausted_total",
                      "CNI requests refused because no pod address was free.", MetricType::Counter),
        sources_.address_exhausted());
  }
}

}  // namespace sluice
