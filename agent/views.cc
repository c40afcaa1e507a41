// SPDX-License-Identifier: Apache-2.0
#include "agent/views.h"

#include <net/if.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <numeric>

#include "lib/fd/fd.h"
#include "lib/verdict/names.h"

namespace sluice {

namespace {

constexpr std::array kEventKinds{"unknown", "open", "update", "close", "drop"};

std::string device_name(uint32_t ifindex) {
  std::array<char, IF_NAMESIZE> name{};
  return if_indextoname(ifindex, name.data()) == nullptr ? std::string{} : std::string(name.data());
}

uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

bool evicts(const std::string& table) {
  return table == "sl_frag" || table == "sl_drop_limit";
}

// Visits each row until the visitor has enough.
template <class Rows, class Visitor>
Status visit(const Rows& rows, const Visitor& visitor) {
  if (!rows) return fail(rows.error());
  for (const auto& [key, row] : *rows) {
    if (!visitor(key, row)) break;
  }
  return {};
}

std::vector<HookVerdictCount> hook_counts(const DatapathReader& reader) {
  std::vector<HookVerdictCount> counts;
  const auto verdicts = reader.verdicts();
  if (!verdicts) return counts;
  for (const NumberName& hook : kHookNames) {
    for (const NumberName& verdict : kVerdictNames) {
      counts.push_back(
          HookVerdictCount{.hook = std::string(hook.name),
                           .verdict = std::string(verdict.name),
                           .packets = verdicts->at(hook.number).at(verdict.number).packets});
    }
  }
  return counts;
}

std::vector<LabelledCount> loss_counts(const DatapathReader& reader) {
  std::vector<LabelledCount> counts;
  const auto losses = reader.event_losses();
  if (!losses) return counts;
  for (size_t kind = 1; kind < losses->size(); ++kind) {
    counts.push_back(LabelledCount{.label = std::string("ring_full_") + kEventKinds.at(kind),
                                   .count = (*losses)[kind]});
  }
  return counts;
}

std::vector<LabelledCount> event_counts(const EventReader& events) {
  std::vector<LabelledCount> counts;
  const auto stats = events.stats();
  for (size_t kind = 1; kind < stats.by_kind.size(); ++kind) {
    counts.push_back(LabelledCount{.label = kEventKinds.at(kind), .count = stats.by_kind[kind]});
  }
  return counts;
}

}  // namespace

AdminSources datapath_sources(const DatapathReader& reader) {
  AdminSources sources;
  sources.tables = [&reader]() -> Result<std::vector<TableUse>> {
    auto sizes = reader.table_sizes();
    if (!sizes) return fail(sizes.error());
    std::vector<TableUse> tables;
    for (const auto& size : *sizes) {
      tables.push_back(TableUse{.name = size.name,
                                .entries = size.entries,
                                .max_entries = size.max_entries,
                                .evicts = evicts(size.name)});
    }
    return tables;
  };
  sources.verdicts = [&reader]() -> Result<VerdictCounters> { return reader.verdicts(); };
  sources.drops = [&reader](const DropVisitor& visitor) -> Status {
    const auto drops = reader.drops();
    if (!drops) return fail(drops.error());
    for (const auto& drop : *drops) {
      if (!visitor(drop.key, drop.count)) break;
    }
    return {};
  };
  sources.conntrack = [&reader](const ConntrackVisitor& visitor) {
    return visit(reader.conntrack(), visitor);
  };
  sources.translations = [&reader](const TranslationVisitor& visitor) {
    return visit(reader.translations(), visitor);
  };
  sources.identities = [&reader](const IdentityVisitor& visitor) {
    return visit(reader.identities(), visitor);
  };
  sources.endpoints = [&reader](const EndpointVisitor& visitor) {
    return visit(reader.endpoints(), visitor);
  };
  sources.device_name = device_name;
  sources.monotonic_ns = monotonic_ns;
  return sources;
}

MetricsSources metrics_sources(const DatapathReader& reader, const Published& published,
                               const FlowLog& flows, const EventReader& events) {
  MetricsSources sources;
  sources.hooks = [&reader] { return hook_counts(reader); };
  sources.drops = [&reader] {
    std::vector<DropSeries> series;
    const auto drops = reader.drops();
    if (!drops) return series;
    for (const auto& drop : *drops) {
      series.push_back(DropSeries{.device = device_name(drop.key.ifindex),
                                  .hook = hook_name(drop.key.hook),
                                  .reason = drop_reason_name(drop.key.reason),
                                  .packets = drop.count.packets,
                                  .bytes = drop.count.bytes});
    }
    return series;
  };
  sources.maps = [&reader] {
    std::vector<MapFill> fills;
    const auto sizes = reader.table_sizes();
    if (!sizes) return fills;
    for (const auto& size : *sizes) {
      fills.push_back(
          MapFill{.map = size.name, .entries = size.entries, .max_entries = size.max_entries});
    }
    return fills;
  };
  sources.addresses = [&published] {
    std::vector<AddressRange> ranges;
    for (const auto& pool : published.get().pools) {
      ranges.push_back(AddressRange{.cidr = to_string(pool.cidr),
                                    .used = pool.used,
                                    .resting = pool.resting,
                                    .free = pool.total - pool.used - pool.resting});
    }
    return ranges;
  };
  sources.events = [&events] { return event_counts(events); };
  sources.events_lost = [&reader] { return loss_counts(reader); };
  sources.flows = [&flows] { return flows.stats().seen; };
  sources.endpoints = [&published] { return published.get().endpoints; };
  sources.intent_problems = [&published] { return published.get().intent_problems; };
  sources.address_exhausted = [&published] { return published.get().address_exhausted; };
  return sources;
}

uint64_t total_event_losses(const DatapathReader& reader) {
  const auto losses = reader.event_losses();
  return losses ? std::accumulate(losses->begin(), losses->end(), uint64_t{0}) : 0;
}

uint64_t resident_bytes() {
  const auto text = read_file("/proc/self/statm");
  unsigned long long total = 0;
  unsigned long long resident = 0;
  if (!text || std::sscanf(text->c_str(), "%llu %llu", &total, &resident) != 2) return 0;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace sluice
