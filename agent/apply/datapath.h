// SPDX-License-Identifier: Apache-2.0
// The only code that changes the kernel: takes rows and makes maps, programs, links, routes and
// devices hold exactly them. Input: agent/compile's Rows. Output: what the kernel has, for readers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/apply/conntrack_ager.h"
#include "agent/apply/reader.h"
#include "agent/compile/rows.h"
#include "bpf/abi/ct.h"
#include "bpf/abi/limits.h"
#include "lib/netlink/netlink.h"
#include "lib/result/result.h"

namespace sluice {

inline constexpr std::string_view kOverlayAlias = "sluice overlay";

struct DatapathOptions {
  std::string bpffs = "/sys/fs/bpf";
  std::string state_dir{};  // remembers there what cleanup has to put back; empty: nowhere
  uint32_t endpoint_max_entries = ENDPOINT_MAX_DEFAULT;
  uint32_t device_max_entries = DEVICE_MAX_DEFAULT;
  uint32_t identity_max_entries = IDENTITY_MAX_DEFAULT;
  uint32_t ct_max_entries = CT_MAX_DEFAULT;
  uint32_t nat_max_entries = NAT_MAX_DEFAULT;
  uint32_t frag_max_entries = FRAG_MAX_DEFAULT;
  uint32_t drops_max_entries = DROPS_MAX_DEFAULT;
  uint32_t events_bytes = EVENTS_BYTES_DEFAULT;  // a power of two, at least a page
  ct_timeouts timeouts = CT_TIMEOUTS_DEFAULT;
  std::string attach = "auto";  // "auto", "tcx", "clsact"
};

// Something that could not be made as wanted; everything else was.
struct ObjectError {
  std::string object;    // "sl_endpoint 17", "device 17 egress", "route 10.1.0.0/24"
  uint32_t ifindex = 0;  // the device it belongs to; 0 where none
  Error error;
};

struct ApplyReport {
  size_t written = 0;  // rows, links, routes, ... created or changed
  size_t deleted = 0;
  size_t failed = 0;  // all failures; `errors` keeps the first of each table only
  std::vector<ObjectError> errors;

  bool ok() const { return failed == 0; }
  // One error out of all: the first one's code, all contexts.
  Status status() const;
};

// The first failure that keeps pods of the whole node from working: of no device, or of an uplink
// or the overlay device; nullopt where at most single pods are hit. rows: those that were applied.
std::optional<std::string> node_failure(const ApplyReport& report, const Rows& rows);

// Thread: the control loop, all members; reader() and what it returns: any.
class Datapath {
 public:
  // Checks capabilities and bpffs, creates or adopts the pinned maps, loads ct_sweep, reads what
  // the kernel holds. Changes nothing that packets see. kPermission, kUnavailable (bpffs), kExists
  // (pins of another layout or shape: the message names map, found and wanted).
  static Result<std::unique_ptr<Datapath>> open(const DatapathOptions& options);
  ~Datapath();
  Datapath(const Datapath&) = delete;
  Datapath& operator=(const Datapath&) = delete;

  // Makes the kernel hold `rows` and nothing else of ours; a pod's device that is down comes up as
  // soon as both of its programs are on it, and not without them. Call it only after the first full
  // sync of the intent: what is not in `rows` is deleted. Costs what differs from the last call.
  ApplyReport apply(const Rows& rows);
  // Reads the kernel again and repairs what drifted from the last `rows`; `written + deleted` is
  // the drift. Before the first apply it does nothing.
  ApplyReport audit();
  // The devices of the last `rows` that are there but lost a program of ours or its pin: "device 17
  // ingress". A look at what we hold, cheap enough for every few seconds; audit() mends it.
  std::vector<std::string> lost();
  const Rows& applied() const;  // the last `rows`; empty before the first apply
  // Drop counts of devices that are gone become counts of device 0, so that totals never fall and
  // the table does not fill with the pods that have been. Returns the number of rows removed.
  Result<size_t> fold_drops_of_gone_devices();

  // 0 until apply has made the device; after open, that of an earlier agent.
  uint32_t overlay_ifindex() const;
  std::string_view attach_mode() const;  // "tcx" or "clsact"
  // What to tell the operator of open(): adopted tables of another size.
  const std::vector<std::string>& warnings() const;
  ConntrackAger& ager();
  const DatapathReader& reader() const;

 private:
  struct Parts;
  explicit Datapath(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// The routes of `rows` that the node's stack does not have any more; found: all of its main table.
std::vector<RouteRow> lost_routes(const Rows& rows, const std::vector<RouteInfo>& found);

// Removes everything of ours from the node and nothing else: links, filters, pins of all layouts,
// overlay and pod devices, routes and neighbours; puts back the node's settings that we changed.
// Idempotent; continues after errors.
Status cleanup(const DatapathOptions& options);

// What is missing to run, each with the step that helps; empty: nothing. For `sluice check` too.
std::vector<Error> missing_preconditions(const DatapathOptions& options);

}  // namespace sluice
