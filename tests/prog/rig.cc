// SPDX-License-Identifier: Apache-2.0
// Loads objects over shared maps and runs their programs.
#include "tests/prog/rig.h"

#include <linux/bpf.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "ct_sweep.skel.h"
#include "pod_egress.skel.h"
#include "pod_ingress.skel.h"
#include "tests/verifier/bpf_image.h"
#include "uplink_egress.skel.h"
#include "uplink_ingress.skel.h"

namespace sluice::test {

namespace {

constexpr size_t kRoom = 4096;
constexpr uint32_t kChecksumComplete =
    1U << 2U;  // BPF_F_TEST_SKB_CHECKSUM_COMPLETE, newer than some headers

struct Image {
  const char* name;
  const void* (*bytes)(size_t*);
};

Image image_of(Program program) {
  switch (program) {
    case Program::kPodEgress:
      return {"pod_egress", pod_egress::elf_bytes};
    case Program::kPodIngress:
      return {"pod_ingress", pod_ingress::elf_bytes};
    case Program::kUplinkIngress:
      return {"uplink_ingress", uplink_ingress::elf_bytes};
    case Program::kUplinkEgress:
      return {"uplink_egress", uplink_egress::elf_bytes};
    case Program::kCtSweep:
      return {"ct_sweep", ct_sweep::elf_bytes};
  }
  return {};
}

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(2);
}

int quiet(libbpf_print_level level, const char* format, va_list arguments) {
  return level == LIBBPF_WARN ? std::vfprintf(stderr, format, arguments) : 0;
}

// Any IPv4 frame.
Bytes probe_frame() {
  Bytes frame(64);
  frame[12] = 8;
  return frame;
}

// The whole-packet sum that some network cards deliver with a packet, to be kept true by whoever
// changes it; checked where the kernel can (6.17). Nobody uses it for what is no IP packet.
uint32_t run_flags(int fd, const Bytes& packet) {
  const bool is_ip =
      (packet[12] == 0x08 && packet[13] == 0) || (packet[12] == 0x86 && packet[13] == 0xdd);
  if (!is_ip) return 0;
  static const uint32_t flags = [fd] {
    const Bytes frame = probe_frame();
    Bytes out(kRoom);
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame.data(), .data_out = out.data(),
                .data_size_in = static_cast<uint32_t>(frame.size()), .data_size_out = kRoom,
                .repeat = 1, .flags = kChecksumComplete);
    return bpf_prog_test_run_opts(fd, &opts) == -EINVAL ? 0U : kChecksumComplete;
  }();
  return flags;
}

}  // namespace

struct Rig::Loaded {
  Loaded(bpf_object* opened, int program_fd) : object(opened), fd(program_fd) {}
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;
  ~Loaded() { bpf_object__close(object); }
  bpf_object* object;
  int fd;
};

Rig::Rig(RigOptions options) : options_(std::move(options)) {
  libbpf_set_print(quiet);
  const int fd = loaded(Program::kPodEgress).fd;
  run_flags(fd, probe_frame());  // the first call asks the kernel, and runs the program for it
  clear();
}

Rig::~Rig() = default;

Rig::Loaded& Rig::loaded(Program program) {
  const auto known = objects_.find(program);
  if (known != objects_.end()) return *known->second;
  const Image image = image_of(program);
  size_t size = 0;
  const void* bytes = image.bytes(&size);
  LIBBPF_OPTS(bpf_object_open_opts, open_options, .object_name = image.name);
  bpf_object* object = bpf_object__open_mem(bytes, size, &open_options);
  if (object == nullptr) fail(std::string("open ") + image.name);
  if (program != Program::kCtSweep && !set_config(object, options_.config).value_or(false))
    fail(std::string("no config in ") + image.name);
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    const std::string name = bpf_map__name(map);
    bpf_map__set_pin_path(map, nullptr);
    const auto shared = maps_.find(name);
    if (shared != maps_.end()) bpf_map__reuse_fd(map, shared->second);
    const auto bound = options_.max_entries.find(name);
    if (bound != options_.max_entries.end() && shared == maps_.end())
      bpf_map__set_max_entries(map, bound->second);
  }
  if (bpf_object__load(object) != 0) fail(std::string("load ") + image.name);
  bpf_object__for_each_map(map, object) {
    const std::string name = bpf_map__name(map);
    // What is not pinned by name is not shared.
    if (name.rfind("sl_", 0) == 0 && name != "sl_ct_scratch") maps_.emplace(name, bpf_map__fd(map));
  }
  const int fd = bpf_program__fd(bpf_object__find_program_by_name(object, image.name));
  return *objects_.emplace(program, std::make_unique<Loaded>(object, fd)).first->second;
}

int Rig::program_fd(Program program) {
  return loaded(program).fd;
}

int Rig::map_fd(const std::string& name) {
  const auto known = maps_.find(name);
  if (known == maps_.end()) fail("no map " + name);
  return known->second;
}

Outcome Rig::run(Program program, const Bytes& frame, uint32_t ifindex, uint32_t mark) {
  __sk_buff context = {};
  context.ifindex = ifindex;
  context.mark = mark;
  Outcome outcome;
  outcome.out.resize(frame.size() + kRoom);
  const int fd = program_fd(program);
  LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame.data(), .data_out = outcome.out.data(),
              .data_size_in = static_cast<uint32_t>(frame.size()),
              .data_size_out = static_cast<uint32_t>(outcome.out.size()), .ctx_in = &context,
              .ctx_out = &context, .ctx_size_in = sizeof(context), .ctx_size_out = sizeof(context),
              .repeat = 1, .flags = options_.whole_sum ? run_flags(fd, frame) : 0);
  outcome.error = -bpf_prog_test_run_opts(fd, &opts);
  outcome.verdict = static_cast<int>(opts.retval);
  outcome.mark = context.mark;
  outcome.out.resize(outcome.error == 0 ? opts.data_size_out : 0);
  return outcome;
}

uint32_t Rig::sweep(const std::vector<ct_key>& keys) {
  bpf_object* object = loaded(Program::kCtSweep).object;
  bpf_map* map = nullptr;
  bpf_map* globals = nullptr;
  bpf_object__for_each_map(map, object) {
    if (std::strstr(bpf_map__name(map), ".bss") != nullptr) globals = map;
  }
  if (globals == nullptr || keys.size() > CT_SWEEP_BATCH) fail("sweep");
  const uint32_t zero = 0;
  Bytes value(bpf_map__value_size(globals));
  ct_sweep_args args = {};
  args.count = static_cast<uint32_t>(keys.size());
  for (size_t i = 0; i < keys.size(); i++) args.keys[i] = keys[i];
  std::memcpy(value.data(), &args, sizeof(args));
  if (bpf_map_update_elem(bpf_map__fd(globals), &zero, value.data(), BPF_ANY) != 0) fail("sweep");
  LIBBPF_OPTS(bpf_test_run_opts, opts);
  if (bpf_prog_test_run_opts(program_fd(Program::kCtSweep), &opts) != 0) fail("run ct_sweep");
  if (bpf_map_lookup_elem(bpf_map__fd(globals), &zero, value.data()) != 0) fail("sweep");
  std::memcpy(&args, value.data(), sizeof(args));
  return args.removed;
}

void Rig::clear_map(int fd) {
  bpf_map_info info = {};
  uint32_t size = sizeof(info);
  if (bpf_map_get_info_by_fd(fd, &info, &size) != 0) fail("map info");
  if (info.type == BPF_MAP_TYPE_RINGBUF) return;
  const bool is_array = info.type == BPF_MAP_TYPE_ARRAY || info.type == BPF_MAP_TYPE_PERCPU_ARRAY;
  const auto cpus = static_cast<size_t>(libbpf_num_possible_cpus());
  const Bytes zero(info.value_size * cpus + 8 * cpus);
  for (uint32_t i = 0; is_array && i < info.max_entries; i++)
    bpf_map_update_elem(fd, &i, zero.data(), BPF_ANY);
  if (is_array) return;
  // All keys first: to ask for the first one again after each deletion walks the empty buckets
  // anew, minutes for what a benchmark leaves.
  std::vector<Bytes> keys;
  Bytes key(info.key_size);
  while (bpf_map_get_next_key(fd, keys.empty() ? nullptr : keys.back().data(), key.data()) == 0)
    keys.push_back(key);
  for (const Bytes& each : keys)
    if (bpf_map_delete_elem(fd, each.data()) != 0) fail("empty " + std::string(info.name));
}

void Rig::clear() {
  for (const auto& [name, fd] : maps_) clear_map(fd);
  events();
}

counter Rig::sum(const std::string& map, const void* key) {
  std::vector<counter> values(static_cast<size_t>(libbpf_num_possible_cpus()));
  counter total = {};
  if (bpf_map_lookup_elem(map_fd(map), key, values.data()) != 0) return total;
  for (const counter& value : values) {
    total.packets += value.packets;
    total.bytes += value.bytes;
  }
  return total;
}

counter Rig::verdicts(hook at, verdict what) {
  const uint32_t index = static_cast<uint32_t>(at) * VERDICT_MAX + static_cast<uint32_t>(what);
  return sum("sl_verdicts", &index);
}

counter Rig::drops(uint32_t ifindex, hook at, drop_reason reason) {
  const drop_key key = {.ifindex = ifindex,
                        .hook = static_cast<uint8_t>(at),
                        .reason = static_cast<uint8_t>(reason),
                        .pad = {}};
  return sum("sl_drops", &key);
}

uint64_t Rig::event_loss(event_kind kind) {
  const auto index = static_cast<uint32_t>(kind);
  std::vector<uint64_t> values(static_cast<size_t>(libbpf_num_possible_cpus()));
  if (bpf_map_lookup_elem(map_fd("sl_event_loss"), &index, values.data()) != 0) fail("event loss");
  return std::accumulate(values.begin(), values.end(), uint64_t{0});
}

std::vector<flow_event> Rig::events() {
  std::vector<flow_event> out;
  const auto keep = [](void* context, void* record, size_t size) {
    flow_event event = {};
    if (size == sizeof(event)) std::memcpy(&event, record, size);
    static_cast<std::vector<flow_event>*>(context)->push_back(event);
    return 0;
  };
  ring_buffer* ring = ring_buffer__new(map_fd("sl_events"), keep, &out, nullptr);
  if (ring == nullptr) fail("sl_events");
  ring_buffer__consume(ring);
  ring_buffer__free(ring);
  return out;
}

}  // namespace sluice::test
