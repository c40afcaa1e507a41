// SPDX-License-Identifier: Apache-2.0
// Inside apply: the pinned maps that all programs share, opened once and handed to each object.
#include "agent/apply/maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace sluice {

namespace {

struct Shape {
  uint32_t type = 0;
  uint32_t key_size = 0;
  uint32_t value_size = 0;
  uint32_t flags = 0;
  bool operator==(const Shape&) const = default;
};

std::string describe(const Shape& shape) {
  const char* type = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(shape.type));
  return std::string(type == nullptr ? "unknown type" : type) + " with key " +
         std::to_string(shape.key_size) + ", value " + std::to_string(shape.value_size) +
         " bytes, flags " + std::to_string(shape.flags);
}

Shape wanted_shape(const bpf_map* map) {
  return Shape{.type = bpf_map__type(map),
               .key_size = bpf_map__key_size(map),
               .value_size = bpf_map__value_size(map),
               .flags = bpf_map__map_flags(map)};
}

Status check_adopted(const bpf_map* map, int fd, SharedMaps& maps) {
  const std::string name = bpf_map__name(map);
  bpf_map_info info = {};
  uint32_t size = sizeof(info);
  if (bpf_map_get_info_by_fd(fd, &info, &size) != 0) return fail(from_errno("inspect map " + name));
  const Shape found{.type = info.type,
                    .key_size = info.key_size,
                    .value_size = info.value_size,
                    .flags = info.map_flags};
  const Shape wanted = wanted_shape(map);
  if (found != wanted) {
    return fail(ErrorCode::kExists, "map " + name + " pinned in " + maps.folder + ": found " +
                                        describe(found) + "; wanted " + describe(wanted) +
                                        ": run sluice-agent cleanup or upgrade");
  }
  if (info.max_entries != bpf_map__max_entries(map)) {
    maps.warnings.push_back("map " + name + ": keeps its " + std::to_string(info.max_entries) +
                            " entries, the setting of " +
                            std::to_string(bpf_map__max_entries(map)) +
                            " takes effect after sluice-agent cleanup");
  }
  return {};
}

// Gives `map` the pinned one, if there is one; else says where to pin the new one.
Status adopt_or_plan(bpf_map* map, SharedMaps& maps) {
  const std::string name = bpf_map__name(map);
  const std::string path = maps.folder + "/" + name;
  Fd fd(bpf_obj_get(path.c_str()));
  if (!fd.valid()) {
    if (errno != ENOENT) return fail(from_errno("open pinned map " + path));
    if (bpf_map__set_pin_path(map, path.c_str()) != 0) {
      return fail(from_errno("set the pin path of map " + name));
    }
    return {};
  }
  if (auto fits = check_adopted(map, fd.get(), maps); !fits) return fits;
  maps.fds.emplace(name, std::move(fd));
  return {};
}

Status share_map(bpf_map* map, SharedMaps& maps) {
  const std::string name = bpf_map__name(map);
  const auto size = maps.max_entries.find(name);
  if (size != maps.max_entries.end() && bpf_map__set_max_entries(map, size->second) != 0) {
    return fail(from_errno("set the size of map " + name));
  }
  if (!maps.fds.contains(name)) {
    if (auto done = adopt_or_plan(map, maps); !done) return done;
  }
  const int fd = maps.fd(name);
  if (fd < 0) return {};
  // Without a path libbpf takes the descriptor as it is, and makes no comparison of its own.
  if (bpf_map__set_pin_path(map, nullptr) != 0 || bpf_map__reuse_fd(map, fd) != 0) {
    return fail(from_errno("reuse map " + name));
  }
  return {};
}

Result<uint32_t> map_id(int fd, const std::string& path) {
  bpf_map_info info = {};
  uint32_t size = sizeof(info);
  if (bpf_map_get_info_by_fd(fd, &info, &size) != 0) return fail(from_errno("inspect map " + path));
  return info.id;
}

Result<bool> is_pinned_at(int fd, const std::string& path) {
  const Fd pin(bpf_obj_get(path.c_str()));
  if (!pin.valid()) return false;
  const auto found = map_id(pin.get(), path);
  const auto ours = map_id(fd, path);
  if (!found) return fail(found.error());
  if (!ours) return fail(ours.error());
  return *found == *ours;
}

// .rodata and the like belong to one object; only maps that the program declares for pinning are
// shared.
bool is_shared(const bpf_map* map) {
  return bpf_map__pin_path(map) != nullptr;
}

}  // namespace

std::string pin_root(const std::string& bpffs) {
  return bpffs + "/sluice";
}

std::string pin_folder(const std::string& bpffs) {
  return pin_root(bpffs) + "/v" + std::to_string(SLUICE_LAYOUT);
}

int SharedMaps::fd(const std::string& name) const {
  const auto found = fds.find(name);
  return found == fds.end() ? -1 : found->second.get();
}

SharedMaps shared_maps(const DatapathOptions& options) {
  SharedMaps maps;
  maps.folder = pin_folder(options.bpffs);
  maps.max_entries = {
      {"sl_endpoint", options.endpoint_max_entries}, {"sl_device", options.device_max_entries},
      {"sl_identity", options.identity_max_entries}, {"sl_ct", options.ct_max_entries},
      {"sl_nat", options.nat_max_entries},           {"sl_frag", options.frag_max_entries},
      {"sl_drops", options.drops_max_entries},       {"sl_events", options.events_bytes}};
  return maps;
}

Status share_maps(bpf_object* object, SharedMaps& maps) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (!is_shared(map)) continue;
    if (auto done = share_map(map, maps); !done) return done;
  }
  return {};
}

Status keep_maps(bpf_object* object, SharedMaps& maps) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    const std::string name = bpf_map__name(map);
    if (!is_shared(map) || maps.fds.contains(name)) continue;
    Fd copy(::fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0));
    if (!copy.valid()) return fail(from_errno("keep map " + name));
    maps.fds.emplace(name, std::move(copy));
  }
  return {};
}

Result<size_t> repin_maps(const SharedMaps& maps) {
  size_t pinned = 0;
  for (const auto& [name, fd] : maps.fds) {
    const std::string path = maps.folder + "/" + name;
    const auto there = is_pinned_at(fd.get(), path);
    if (!there) return fail(there.error());
    if (*there) continue;
    if (auto made = make_directories(maps.folder); !made)
      return fail(within("pin map", made.error()));
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
      return fail(from_errno("remove the pin in the place of map " + path));
    if (bpf_obj_pin(fd.get(), path.c_str()) != 0) return fail(from_errno("pin map " + path));
    pinned++;
  }
  return pinned;
}

}  // namespace sluice
