// SPDX-License-Identifier: Apache-2.0
// The eBPF objects of the build as bytes, so that tests open them without a path and without naming
// each one.
#pragma once

#include <bpf/libbpf.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/abi/config.h"
#include "lib/result/result.h"

namespace sluice::test {

struct BpfImage {
  std::string_view name;  // file name without .bpf.c
  std::span<const std::byte> elf;
};

struct ObjectClose {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, ObjectClose>;

// Sorted by name; the bytes live as long as the process.
std::vector<BpfImage> bpf_images();

// Opens without loading: tables with a bound in keys are cut down, nothing is pinned. kKernel where
// libbpf refuses.
Result<Object> open_image(const BpfImage& image);

// Writes `config` where the object's rodata has a variable of that name. False where it has none
// (its settings are others).
Result<bool> set_config(bpf_object* object, const datapath_config& config);

}  // namespace sluice::test
