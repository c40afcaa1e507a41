// SPDX-License-Identifier: Apache-2.0
// `sluice drops`: what is dropped, where and why; live on a terminal, with rates between two
// readings.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "cli/commands.h"
#include "cli/format.h"
#include "lib/verdict/names.h"

namespace sluice::cli {

namespace {

using admin::v1::Drop;
using admin::v1::DropsResponse;

struct DropsFlags {
  bool once = false;
  std::string interval = "1s";
  bool explain_asked = false;
  std::vector<std::string> explain;
};

using DropKey = std::tuple<uint32_t, std::string, uint32_t>;
using Seen = std::map<DropKey, uint64_t>;

DropKey key_of(const Drop& drop) {
  return {drop.ifindex(), drop.hook(), drop.reason_number()};
}

std::string device_text(const Drop& drop) {
  return drop.device().empty() ? "gone (if" + std::to_string(drop.ifindex()) + ")" : drop.device();
}

bool fetch(Session& session, DropsResponse& drops, int& exit_code) {
  admin::v1::AdminRequest request;
  admin::v1::AdminResponse response;
  request.mutable_drops();
  if (!ask(session, request, response, exit_code)) return false;
  drops = response.drops();
  std::sort(drops.mutable_drops()->begin(), drops.mutable_drops()->end(),
            [](const Drop& a, const Drop& b) {
              return std::make_tuple(~a.packets(), key_of(a)) <
                     std::make_tuple(~b.packets(), key_of(b));
            });
  return true;
}

// before: null on the first reading, when no rate is known.
void print_table(const DropsResponse& drops, const Seen* before, double seconds, Session& session) {
  Table table({{.title = "DEVICE", .may_shrink = true},
               {.title = "POD", .may_shrink = true},
               {.title = "HOOK"},
               {.title = "REASON", .may_shrink = true},
               {.title = "PACKETS", .right = true},
               {.title = "BYTES", .right = true},
               {.title = "RATE", .right = true}});
  const bool compact = session.options.output() == Format::kCompact;
  for (const Drop& drop : drops.drops()) {
    std::string rate = "-";
    Style style = Style::kPlain;
    if (before != nullptr) {
      const auto found = before->find(key_of(drop));
      const uint64_t then = found == before->end() ? 0 : found->second;
      // Fewer than before: the device went and its number came back with another.
      const uint64_t more = drop.packets() >= then ? drop.packets() - then : drop.packets();
      rate = rate_text(static_cast<double>(more) / seconds);
      if (more != 0) style = Style::kBad;
    }
    table.add({{device_text(drop)},
               {drop.pod().empty() ? "-" : drop.pod()},
               {drop.hook()},
               {drop.reason(), style},
               {std::to_string(drop.packets())},
               {compact ? std::to_string(drop.bytes()) : bytes_text(drop.bytes())},
               {rate, style}});
  }
  if (table.empty() && !compact) {
    session.out << "no drops since the data plane was loaded\n";
    return;
  }
  table.print(session.out, session.options.look());
}

void print_explanations(const DropsResponse& drops, Session& session) {
  std::set<std::string> said;
  for (const Drop& drop : drops.drops()) {
    if (!said.insert(drop.reason()).second) continue;
    session.out << '\n'
                << styled(drop.reason(), Style::kBold, session.options.color()) << "\n  "
                << drop.explanation() << '\n';
  }
}

int explain_reasons(Session& session, const std::vector<std::string>& names) {
  int exit_code = kExitOk;
  const bool json = session.options.output() == Format::kJson;
  auto list = nlohmann::ordered_json::array();
  for (std::string name : names) {
    std::transform(name.begin(), name.end(), name.begin(), [](char c) {
      return c == '-' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    // The list that the programs are built from: needs no agent.
    const auto* found = std::ranges::find(kDropReasons, name, &DropReasonName::name);
    if (found == kDropReasons.end()) {
      session.err << "sluice: there is no drop reason \"" << name << "\"; there are:\n";
      for (const auto& reason : kDropReasons) session.err << "  " << reason.name << '\n';
      exit_code = kExitUsage;
      continue;
    }
    if (json) {
      list.push_back({{"reason", found->name}, {"explanation", found->text}});
      continue;
    }
    session.out << styled(std::string(found->name), Style::kBold, session.options.color()) << "\n  "
                << found->text << '\n';
  }
  if (json && exit_code == kExitOk) {
    session.out << nlohmann::ordered_json{{"reasons", std::move(list)}}.dump() << '\n';
  }
  return exit_code;
}

int watch(Session& session, const DropsFlags& flags, std::chrono::milliseconds interval) {
  Seen before;
  for (bool first = true;; first = false) {
    DropsResponse drops;
    int exit_code = kExitOk;
    if (!fetch(session, drops, exit_code)) return exit_code;
    session.out << "\x1b[H\x1b[J";
    session.out << styled("drops on this node, every " + flags.interval + "; Ctrl-C ends",
                          Style::kDim, session.options.color())
                << "\n\n";
    print_table(drops, first ? nullptr : &before, static_cast<double>(interval.count()) / 1000,
                session);
    if (flags.explain_asked) print_explanations(drops, session);
    session.out << std::flush;
    before.clear();
    for (const Drop& drop : drops.drops()) before[key_of(drop)] = drop.packets();
    if (!session.out.good() || !session.pause(interval)) return kExitOk;
  }
}

int run_drops(Session& session, const DropsFlags& flags) {
  if (!flags.explain.empty()) return explain_reasons(session, flags.explain);
  const Result<std::chrono::milliseconds> interval = parse_duration(flags.interval);
  if (!interval || interval->count() < 100) {
    session.err << "sluice: --interval: "
                << (interval ? "shorter than 100ms" : interval.error().message()) << '\n';
    return kExitUsage;
  }
  if (session.options.terminal && !flags.once && session.options.output() == Format::kTable) {
    return watch(session, flags, *interval);
  }
  DropsResponse drops;
  int exit_code = kExitOk;
  if (!fetch(session, drops, exit_code)) return exit_code;
  if (session.options.output() == Format::kJson) {
    print_json(session.out, drops);
    return kExitOk;
  }
  print_table(drops, nullptr, 1, session);
  if (flags.explain_asked) print_explanations(drops, session);
  return kExitOk;
}

}  // namespace

void add_drops(CLI::App& root, Session& session) {
  CLI::App* command = root.add_subcommand("drops", "What is dropped, where and why");
  const auto flags = std::make_shared<DropsFlags>();
  command->add_flag("--once", flags->once, "One reading, also on a terminal");
  command->add_option("--interval", flags->interval, "Between two readings on a terminal")
      ->type_name("DURATION")
      ->capture_default_str();
  CLI::Option* explain =
      command
          ->add_option("--explain", flags->explain,
                       "Say what the reasons mean; with names: only of these, without an agent")
          ->type_name("REASON")
          ->expected(0, -1);
  add_common_options(*command, session, true,
                     "  sluice drops                        live, with rates\n"
                     "  sluice drops --once --explain\n"
                     "  sluice drops --explain SPOOFED_SOURCE\n"
                     "  sluice drops -o json | jq '.drops[] | select(.pod==\"demo/client\")'");
  command->callback([&session, flags, explain] {
    flags->explain_asked = explain->count() != 0;
    std::erase(flags->explain, "");
    session.chosen = [&session, flags] { return run_drops(session, *flags); };
  });
}

}  // namespace sluice::cli
