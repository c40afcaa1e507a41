// SPDX-License-Identifier: Apache-2.0
// Answers what `sluice` asks of its own node: reads the agent through narrow functions, changes
// nothing.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "admin/v1/admin.pb.h"
#include "agent/admin/conditions.h"
#include "agent/desired/desired.h"
#include "bpf/abi/ct.h"
#include "bpf/abi/endpoint.h"
#include "bpf/abi/verdict.h"
#include "lib/ip/ip.h"
#include "lib/result/result.h"

namespace sluice {

// Called once a row; false ends the walk. Rows are shown as they are read, so a table of any size
// costs no memory here.
using DropVisitor = std::function<bool(const drop_key&, const counter&)>;
using ConntrackVisitor = std::function<bool(const ct_key&, const ct_entry&)>;
using TranslationVisitor = std::function<bool(const nat_key&, const nat_row&)>;
using IdentityVisitor = std::function<bool(const identity_key&, const identity_row&)>;
using EndpointVisitor = std::function<bool(const uint32_t& ifindex, const endpoint_row&)>;

// A source out of a function that returns all rows at once as Result<vector<pair<Key, Row>>>.
template <class Key, class Row, class Read>
std::function<Status(const std::function<bool(const Key&, const Row&)>&)> rows_source(Read read) {
  return [read](const std::function<bool(const Key&, const Row&)>& visit) -> Status {
    const auto rows = read();
    if (!rows) return fail(rows.error());
    for (const auto& [key, row] : *rows) {
      if (!visit(key, row)) break;
    }
    return {};
  };
}

using VerdictCounters = std::array<std::array<counter, VERDICT_MAX>, HOOK_MAX>;

struct TableUse {
  std::string name;  // of the map: "sl_ct"
  uint64_t entries = 0;
  uint64_t max_entries = 0;
  bool evicts = false;  // LRU: being full is its normal state
};

struct PoolUse {
  Prefix cidr;
  uint64_t total = 0;
  uint64_t used = 0;
  uint64_t resting = 0;  // freed, not yet given out again
};

struct AgentFacts {
  bool ready = false;             // the first full sync is in the kernel
  uint64_t applied_revision = 0;  // of the intent
  std::string attach_mode;        // "tcx" or "clsact"
  uint64_t events_lost = 0;
  uint64_t flows_seen = 0;
  uint64_t rss_bytes = 0;
};

struct AgentBuild {
  std::string version;
  std::string commit;
  uint32_t layout = 0;
  int64_t started_unix_ms = 0;
};

// Where the answers come from. Every function must be set and callable from the thread that calls
// AdminService::handle. One that fails makes the answer an error that carries its message.
struct AdminSources {
  AgentBuild build;
  std::function<std::shared_ptr<const Desired>()> desired;  // null: nothing known yet
  std::function<std::vector<ConditionState>()> conditions;
  std::function<AgentFacts()> facts;
  std::function<std::vector<PoolUse>()> pools;
  std::function<Result<std::vector<TableUse>>()> tables;
  std::function<Result<VerdictCounters>()> verdicts;  // summed over CPUs, [hook][verdict]
  std::function<Status(const DropVisitor&)> drops;    // summed over CPUs
  std::function<Status(const ConntrackVisitor&)> conntrack;
  std::function<Status(const TranslationVisitor&)> translations;
  std::function<Status(const IdentityVisitor&)> identities;
  std::function<Status(const EndpointVisitor&)> endpoints;
  std::function<std::string(uint32_t ifindex)> device_name;  // empty: the device is gone
  std::function<uint64_t()> monotonic_ns;                    // the clock of the rows' times
};

// Thread: any that the sources allow; keeps no state of its own.
class AdminService {
 public:
  explicit AdminService(AdminSources sources);

  // request: bytes of an AdminRequest. Returns bytes of an AdminResponse; whatever goes wrong is in
  // its `error`.
  std::string handle(std::string_view request) const;
  admin::v1::AdminResponse answer(const admin::v1::AdminRequest& request) const;

 private:
  AdminSources sources_;
};

}  // namespace sluice
