// SPDX-License-Identifier: Apache-2.0
// Inside apply: the four packet programs, loaded for one configuration.
#include "agent/apply/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include "lib/skeleton/skeleton.h"
// The skeletons name the ABI's structs without declaring them.
#include "pod_egress.skel.h"
#include "pod_ingress.skel.h"
#include "uplink_egress.skel.h"
#include "uplink_ingress.skel.h"

namespace sluice {

namespace {

template <class S>
Result<Skeleton<S>> open_object(const char* name) {
  Skeleton<S> skeleton(S::open());
  if (skeleton == nullptr) return fail(from_errno(std::string("open eBPF object ") + name));
  return skeleton;
}

Error load_error(const std::string& name, int code, const LibbpfLog& log) {
  std::string context = "load eBPF object " + name;
  if (const std::string tail = log.tail(); !tail.empty()) context += " [" + tail + "]";
  return from_errno(std::move(context), -code);
}

template <class S>
Status create_maps_of(const char* name, SharedMaps& maps) {
  const LibbpfLog log;
  auto skeleton = open_object<S>(name);
  if (!skeleton) return fail(skeleton.error());
  bpf_object* object = (*skeleton)->obj;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) bpf_program__set_autoload(program, false);
  if (auto shared = share_maps(object, maps); !shared) return shared;
  if (const int code = bpf_object__load(object); code != 0)
    return fail(load_error(name, code, log));
  return keep_maps(object, maps);
}

Result<Program> take_program(bpf_object* object, const char* name) {
  const bpf_program* found = bpf_object__find_program_by_name(object, name);
  if (found == nullptr) return fail(from_errno(std::string("find eBPF program ") + name));
  Program program{.fd = Fd(::fcntl(bpf_program__fd(found), F_DUPFD_CLOEXEC, 0))};
  if (!program.fd.valid()) return fail(from_errno(std::string("keep eBPF program ") + name));
  bpf_prog_info info = {};
  uint32_t size = sizeof(info);
  if (bpf_prog_get_info_by_fd(program.fd.get(), &info, &size) != 0) {
    return fail(from_errno(std::string("inspect eBPF program ") + name));
  }
  program.id = info.id;
  return program;
}

template <class S>
Result<Program> load_program(const char* name, const datapath_config& config, SharedMaps& maps) {
  const LibbpfLog log;
  auto skeleton = open_object<S>(name);
  if (!skeleton) return fail(skeleton.error());
  (*skeleton)->rodata->config = config;
  if (auto shared = share_maps((*skeleton)->obj, maps); !shared) return fail(shared.error());
  if (const int code = S::load(skeleton->get()); code != 0)
    return fail(load_error(name, code, log));
  return take_program((*skeleton)->obj, name);
}

}  // namespace

Status create_maps(SharedMaps& maps) {
  if (auto done = create_maps_of<pod_egress>("pod_egress", maps); !done) return done;
  if (auto done = create_maps_of<pod_ingress>("pod_ingress", maps); !done) return done;
  if (auto done = create_maps_of<uplink_ingress>("uplink_ingress", maps); !done) return done;
  return create_maps_of<uplink_egress>("uplink_egress", maps);
}

Result<ProgramSet> load_programs(const datapath_config& config, SharedMaps& maps) {
  ProgramSet programs;
  const auto take = [&programs](hook at, Result<Program> loaded) -> Status {
    if (!loaded) return fail(std::move(loaded).error());
    programs[at] = std::move(*loaded);
    return {};
  };
  const auto load = [&]() -> Status {
    if (auto done = take(HOOK_POD_EGRESS, load_program<pod_egress>("pod_egress", config, maps));
        !done)
      return done;
    if (auto done = take(HOOK_POD_INGRESS, load_program<pod_ingress>("pod_ingress", config, maps));
        !done)
      return done;
    if (auto done =
            take(HOOK_UPLINK_INGRESS, load_program<uplink_ingress>("uplink_ingress", config, maps));
        !done)
      return done;
    return take(HOOK_UPLINK_EGRESS, load_program<uplink_egress>("uplink_egress", config, maps));
  };
  if (auto done = load(); !done) return fail(done.error());
  return programs;
}

hook hook_at(DeviceRole role, Direction direction) {
  const bool ingress = direction == Direction::kIngress;
  if (role == DeviceRole::kPod) return ingress ? HOOK_POD_EGRESS : HOOK_POD_INGRESS;
  return ingress ? HOOK_UPLINK_INGRESS : HOOK_UPLINK_EGRESS;
}

}  // namespace sluice
