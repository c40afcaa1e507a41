// SPDX-License-Identifier: Apache-2.0
// The only code that changes the kernel: the order of things. What each thing is, its own file
// knows.
#include "agent/apply/datapath.h"

#include <bpf/bpf.h>

#include <cstring>
#include <optional>

#include "agent/apply/attach.h"
#include "agent/apply/drops.h"
#include "agent/apply/host.h"
#include "agent/apply/maps.h"
#include "agent/apply/preconditions.h"
#include "agent/apply/programs.h"
#include "agent/apply/table.h"
#include "agent/desired/pod_device.h"
#include "lib/fd/fd.h"
#include "lib/netlink/netlink.h"

namespace sluice {

namespace {

constexpr size_t kAllErrors = SIZE_MAX;  // a pod's ADD looks for its device among them
constexpr size_t kSomeErrors = 32;       // of up to millions of addresses
constexpr std::array<Direction, 2> kDirections{Direction::kIngress, Direction::kEgress};

TableContent<identity_key, identity_row> identity_content(const Rows& rows) {
  TableContent<identity_key, identity_row> content;
  content.reserve(rows.identities.size());
  for (const auto& [prefix, row] : rows.identities) {
    identity_key key = {};
    key.prefix_bits = prefix.length;
    std::memcpy(key.addr, prefix.address.bytes.data(), sizeof(key.addr));
    content.emplace_back(key, row);
  }
  return content;
}

template <class Row>
TableContent<uint32_t, Row> content_of(const std::map<uint32_t, Row>& rows) {
  return {rows.begin(), rows.end()};
}

}  // namespace

Status ApplyReport::status() const {
  if (ok()) return {};
  Error all;
  if (!errors.empty()) all.code = errors.front().error.code;
  for (const ObjectError& error : errors) {
    if (!all.context.empty()) all.context += "; ";
    all.context += error.error.message();
  }
  if (failed > errors.size()) {
    all.context += "; and " + std::to_string(failed - errors.size()) + " more";
  }
  return fail(std::move(all));
}

std::optional<std::string> node_failure(const ApplyReport& report, const Rows& rows) {
  for (const ObjectError& error : report.errors) {
    const auto role = rows.attachments.find(error.ifindex);
    const bool of_a_pod =
        error.ifindex != 0 && (role == rows.attachments.end() || role->second == DeviceRole::kPod);
    if (!of_a_pod) return error.object + ": " + error.error.message();
  }
  return std::nullopt;
}

struct Datapath::Parts {
  DatapathOptions options;
  SharedMaps maps;
  Netlink netlink;
  HostMemory memory;
  Overlay overlay{netlink};
  HostRoutes routes{netlink};
  HostSettings settings{netlink, memory};
  std::unique_ptr<Attacher> attacher;
  std::unique_ptr<Attacher> former;  // the other way to attach: only emptied
  std::optional<KernelTable<identity_key, identity_row>> identities;
  std::optional<KernelTable<uint32_t, endpoint_row>> endpoints;
  std::optional<KernelTable<uint32_t, device_row>> devices;
  std::optional<ProgramSet> programs;
  datapath_config config{};  // of the programs
  std::optional<Rows> last;
  std::unique_ptr<ConntrackAger> ager;
  std::optional<DatapathReader> reader;

  Parts(DatapathOptions chosen, Netlink socket, HostMemory changes)
      : options(std::move(chosen)),
        maps(shared_maps(options)),
        netlink(std::move(socket)),
        memory(std::move(changes)) {}

  Status open_maps();
  Status choose_attacher();
  Status read_kernel();
  void write_node(const node_row& row, ApplyReport& report);
  void load(const datapath_config& wanted, ApplyReport& report);
  void attach(const Rows& rows, ApplyReport& report);
  bool attach_device(uint32_t ifindex, DeviceRole role, ApplyReport& report);
  void open_to_pod(uint32_t ifindex, ApplyReport& report);
  void pin_maps(ApplyReport& report);
  void detach(const Rows& rows, ApplyReport& report);
  ApplyReport apply(const Rows& rows);
};

Status Datapath::Parts::open_maps() {
  if (auto made = make_directories(maps.folder + "/links"); !made) return made;
  if (auto made = create_maps(maps); !made) return made;
  auto opened = ConntrackAger::open(maps, options.timeouts);
  if (!opened) return fail(opened.error());
  ager = std::move(*opened);
  reader.emplace(maps);
  identities.emplace("sl_identity", maps.fd("sl_identity"), kSomeErrors);
  endpoints.emplace("sl_endpoint", maps.fd("sl_endpoint"), kAllErrors);
  devices.emplace("sl_device", maps.fd("sl_device"), kAllErrors);
  return {};
}

Status Datapath::Parts::choose_attacher() {
  auto tcx = std::make_unique<TcxAttacher>(maps.folder + "/links");
  auto clsact = std::make_unique<ClsactAttacher>(netlink, memory);
  bool use_tcx = options.attach != "clsact";
  if (use_tcx) {
    const auto probed = probe_tcx();
    if (!probed && (options.attach == "tcx" || probed.error().code != ErrorCode::kUnsupported)) {
      return probed;
    }
    use_tcx = probed.has_value();
  }
  if (use_tcx) {
    attacher = std::move(tcx);
    former = std::move(clsact);
  } else {
    attacher = std::move(clsact);
    former = std::move(tcx);
  }
  return {};
}

Status Datapath::Parts::read_kernel() {
  overlay.adopt();
  if (auto done = identities->load(); !done) return done;
  if (auto done = endpoints->load(); !done) return done;
  if (auto done = devices->load(); !done) return done;
  if (auto done = attacher->refresh(); !done) return done;
  settings.forget();
  return former->refresh();
}

void Datapath::Parts::write_node(const node_row& row, ApplyReport& report) {
  const uint32_t zero = 0;
  const int fd = maps.fd("sl_node");
  node_row now = {};
  const bool known = bpf_map_lookup_elem(fd, &zero, &now) == 0;
  if (known && same_row(now, row)) return;
  if (bpf_map_update_elem(fd, &zero, &row, BPF_ANY) == 0) {
    report.written++;
    return;
  }
  record(report, "sl_node", 0, from_errno("update map sl_node"));
}

// Programs that cannot be loaded leave the ones before them at work.
void Datapath::Parts::load(const datapath_config& wanted, ApplyReport& report) {
  if (programs && same_row(config, wanted)) return;
  auto loaded = load_programs(wanted, maps);
  if (!loaded) return record(report, "programs", 0, loaded.error());
  programs = std::move(*loaded);
  config = wanted;
  report.written += programs->size();
}

bool Datapath::Parts::attach_device(uint32_t ifindex, DeviceRole role, ApplyReport& report) {
  bool both = true;
  for (const Direction direction : kDirections) {
    const Slot slot{.ifindex = ifindex, .direction = direction};
    const Result<bool> done =
        programs ? attacher->attach(slot, (*programs)[hook_at(role, direction)])
                 : Result<bool>(fail(ErrorCode::kUnavailable, "the programs are not loaded"));
    if (!done) record(report, slot_text(slot), ifindex, done.error());
    if (done && *done) report.written++;
    both = both && done.has_value();
  }
  return both;
}

// A pod's device is made down and comes up here, behind its programs: what the pod sends before
// passes nowhere.
void Datapath::Parts::open_to_pod(uint32_t ifindex, ApplyReport& report) {
  const auto link = settings.links().find(ifindex);
  if (link == settings.links().end()) {
    // Gone since, or the devices could not be listed: whoever waits for it is not told that it
    // works.
    return record(report, "device " + std::to_string(ifindex), ifindex,
                  fail(ErrorCode::kNotFound, "it is not among the node's devices"));
  }
  if (link->second.up || !looks_like_ours(link->second)) return;
  const auto up = netlink.set_link_up(ifindex);
  if (up) report.written++;
  record(report, "device " + link->second.name, ifindex, up);
}

void Datapath::Parts::attach(const Rows& rows, ApplyReport& report) {
  for (const auto& [ifindex, role] : rows.attachments) {
    const bool filtered = attach_device(ifindex, role, report);
    if (filtered && role == DeviceRole::kPod) open_to_pod(ifindex, report);
  }
}

void Datapath::Parts::detach(const Rows& rows, ApplyReport& report) {
  const auto remove = [&report](Attacher& from, const Slot& slot) {
    const auto gone = from.detach(slot);
    if (gone) report.deleted++;
    record(report, slot_text(slot), slot.ifindex, gone);
  };
  for (const Slot& slot : attacher->slots()) {
    if (!rows.attachments.contains(slot.ifindex)) remove(*attacher, slot);
  }
  if (!programs) return;  // what the other way attached is all there is
  for (const Slot& slot : former->slots()) remove(*former, slot);
}

// Without its pins the next agent finds nothing, and every program goes with this one.
void Datapath::Parts::pin_maps(ApplyReport& report) {
  if (auto mounted = check_bpffs(options.bpffs); !mounted)
    return record(report, "pins", 0, mounted);
  const auto pinned = repin_maps(maps);
  if (!pinned) return record(report, "pins", 0, pinned.error());
  report.written += *pinned;
}

ApplyReport Datapath::Parts::apply(const Rows& rows) {
  ApplyReport report;
  // Creations, what is used before what uses it.
  identities->write(identity_content(rows), report);
  endpoints->write(content_of(rows.endpoints), report);
  devices->write(content_of(rows.devices), report);
  if (rows.needs_overlay) overlay.ensure(rows.pod_route_mtu, report);
  settings.write(rows, report);
  write_node(rows.node, report);
  load(rows.config, report);
  attach(rows, report);
  routes.write(rows, report);  // the kernel takes none over a device that is down
  // Deletions, the other way round.
  routes.remove_unwanted(rows, report);
  detach(rows, report);
  if (!rows.needs_overlay) overlay.remove(report);
  devices->finish(report);
  endpoints->finish(report);
  identities->finish(report);
  return report;
}

Datapath::Datapath(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Datapath::~Datapath() = default;

Result<std::unique_ptr<Datapath>> Datapath::open(const DatapathOptions& options) {
  const auto missing = missing_preconditions(options);
  if (!missing.empty()) return fail(within("open the data plane", missing.front()));
  auto socket = Netlink::open();
  if (!socket) return fail(within("open the data plane", socket.error()));
  auto memory = HostMemory::open(options.state_dir);
  if (!memory) return fail(within("open the data plane", memory.error()));
  auto parts = std::make_unique<Parts>(options, std::move(*socket), std::move(*memory));
  for (const auto step : {&Parts::open_maps, &Parts::choose_attacher, &Parts::read_kernel}) {
    if (auto done = (parts.get()->*step)(); !done) {
      return fail(within("open the data plane", done.error()));
    }
  }
  return std::unique_ptr<Datapath>(new Datapath(std::move(parts)));
}

ApplyReport Datapath::apply(const Rows& rows) {
  ApplyReport report = parts_->apply(rows);
  parts_->last = rows;
  return report;
}

ApplyReport Datapath::audit() {
  ApplyReport report;
  if (!parts_->last) return report;
  if (auto done = parts_->read_kernel(); !done) {
    record(report, "audit", 0, within("audit", done.error()));
    return report;
  }
  parts_->pin_maps(report);
  ApplyReport repaired = parts_->apply(*parts_->last);
  repaired.written += report.written;
  repaired.failed += report.failed;
  repaired.errors.insert(repaired.errors.begin(), report.errors.begin(), report.errors.end());
  return repaired;
}

std::vector<std::string> Datapath::lost() {
  std::vector<std::string> gone;
  for (const Slot& slot : parts_->attacher->lost()) {
    if (!applied().attachments.contains(slot.ifindex)) continue;
    // Programs go with their device; who made that sees to it.
    if (parts_->netlink.link(slot.ifindex)) gone.push_back(slot_text(slot));
  }
  return gone;
}

const Rows& Datapath::applied() const {
  static const Rows kNone;
  return parts_->last ? *parts_->last : kNone;
}

Result<size_t> Datapath::fold_drops_of_gone_devices() {
  return fold_gone_drops(parts_->netlink, parts_->maps.fd("sl_drops"));
}

uint32_t Datapath::overlay_ifindex() const {
  return parts_->overlay.ifindex();
}
std::string_view Datapath::attach_mode() const {
  return parts_->attacher->name();
}
const std::vector<std::string>& Datapath::warnings() const {
  return parts_->maps.warnings;
}
ConntrackAger& Datapath::ager() {
  return *parts_->ager;
}
const DatapathReader& Datapath::reader() const {
  return *parts_->reader;
}

}  // namespace sluice
