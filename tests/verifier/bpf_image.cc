// SPDX-License-Identifier: Apache-2.0
// Finds `config` by BTF, so that a program may keep it anywhere in its rodata.
#include "tests/verifier/bpf_image.h"

#include <bpf/btf.h>
#include <linux/bpf.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "bpf/abi/ct.h"
#include "bpf/abi/event.h"

// Skeletons name the ABI's structs and include nothing: after the above.
#include <bpf_objects.h>

namespace sluice::test {
namespace {

constexpr uint32_t kSmallTable = 64;  // rows; loading is what is tested, not capacity

template <class ElfBytes>
BpfImage image_of(std::string_view name, ElfBytes elf_bytes) {
  size_t size = 0;
  const void* bytes = elf_bytes(&size);
  return BpfImage{.name = name, .elf = {static_cast<const std::byte*>(bytes), size}};
}

bool has_row_bound(bpf_map_type type) {
  return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_LRU_HASH ||
         type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH ||
         type == BPF_MAP_TYPE_LPM_TRIE;
}

struct VariableSpan {
  uint32_t offset = 0;
  uint32_t size = 0;
};

std::optional<VariableSpan> rodata_variable(const btf* types, std::string_view name) {
  const int section = btf__find_by_name_kind(types, ".rodata", BTF_KIND_DATASEC);
  if (section < 0) {
    return std::nullopt;
  }
  const btf_type* type = btf__type_by_id(types, static_cast<uint32_t>(section));
  const btf_var_secinfo* rows = btf_var_secinfos(type);
  for (const btf_var_secinfo& row : std::span(rows, btf_vlen(type))) {
    const btf_type* variable = btf__type_by_id(types, row.type);
    if (name == btf__name_by_offset(types, variable->name_off)) {
      return VariableSpan{.offset = row.offset, .size = row.size};
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<BpfImage> bpf_images() {
#define X(name) image_of(#name, name##__elf_bytes),
  return {BPF_OBJECTS(X)};
#undef X
}

Result<Object> open_image(const BpfImage& image) {
  const std::string name(image.name);
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name.c_str());
  Object object(bpf_object__open_mem(image.elf.data(), image.elf.size(), &options));
  if (object == nullptr) {
    return fail(from_errno("open eBPF object " + name));
  }
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object.get()) {
    int failed = bpf_map__set_pin_path(map, nullptr);
    if (failed == 0 && has_row_bound(bpf_map__type(map))) {
      failed = bpf_map__set_max_entries(map, kSmallTable);
    }
    if (failed != 0) {
      return fail(from_errno("prepare map " + std::string(bpf_map__name(map)), -failed));
    }
  }
  return object;
}

Result<bool> set_config(bpf_object* object, const datapath_config& config) {
  const std::optional<VariableSpan> place = rodata_variable(bpf_object__btf(object), "config");
  if (!place) {
    return false;
  }
  if (place->size != sizeof(config)) {
    return fail(ErrorCode::kInvalid, "rodata variable config has " + std::to_string(place->size) +
                                         " bytes, bpf/abi/config.h has " +
                                         std::to_string(sizeof(config)));
  }
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (!std::string_view(bpf_map__name(map)).ends_with(".rodata")) {
      continue;
    }
    size_t size = 0;
    void* bytes = bpf_map__initial_value(map, &size);
    if (bytes == nullptr || place->offset + sizeof(config) > size) {
      break;
    }
    std::memcpy(static_cast<std::byte*>(bytes) + place->offset, &config, sizeof(config));
    return true;
  }
  return fail(ErrorCode::kKernel, "the object names config in its BTF but has no rodata for it");
}

}  // namespace sluice::test
