// SPDX-License-Identifier: Apache-2.0
// Holds what this compiler makes of bpf/abi against what the eBPF compiler wrote into each object's
// BTF.
#include <bpf/btf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <set>

#include "tests/layout/generated/abi_structs.h"
#include "tests/verifier/bpf_image.h"

namespace sluice::test {
namespace {

struct Member {
  size_t offset = 0;
  size_t size = 0;
  auto operator<=>(const Member&) const = default;
};

struct Layout {
  size_t size = 0;
  std::map<std::string, Member> members;
};

// Bytes, for a message.
void PrintTo(const Member& member, std::ostream* out) {
  *out << "offset " << member.offset << " size " << member.size;
}

const std::map<std::string, Layout>& compiled() {
#define MEMBER(type, field) {#field, {offsetof(struct type, field), sizeof(type::field)}},
#define STRUCT(type, ...) {#type, {sizeof(struct type), {__VA_ARGS__}}},
  static const std::map<std::string, Layout> layouts = {ABI_STRUCTS(STRUCT, MEMBER)};
#undef STRUCT
#undef MEMBER
  return layouts;
}

// The types of each table, as agent and CLI read them. Empty key: the table has none.
struct MapTypes {
  std::string key;
  std::string value;
  bool operator==(const MapTypes&) const = default;
};

void PrintTo(const MapTypes& types, std::ostream* out) {
  *out << types.key << " -> " << types.value;
}

const std::map<std::string, MapTypes>& map_types() {
  static const std::map<std::string, MapTypes> types = {
      {"sl_endpoint", {"__u32", "endpoint_row"}}, {"sl_identity", {"identity_key", "identity_row"}},
      {"sl_device", {"__u32", "device_row"}},     {"sl_node", {"__u32", "node_row"}},
      {"sl_ct", {"ct_key", "ct_entry"}},          {"sl_nat", {"nat_key", "nat_row"}},
      {"sl_frag", {"frag_key", "frag_ports"}},    {"sl_verdicts", {"__u32", "counter"}},
      {"sl_drops", {"drop_key", "counter"}},      {"sl_drop_limit", {"__u64", "drop_limit"}},
      {"sl_ct_scratch", {"__u32", "ct_entry"}},   {"sl_events", {"", ""}},
      {"sl_event_loss", {"__u32", "__u64"}},
  };
  return types;
}

// Structs that the kernel side keeps to itself.
bool is_kernel_only(const std::string& name) {
  return name == "drop_limit";
}

void add_members(const btf* types, const btf_type* type, size_t base, Layout& layout) {
  for (const btf_member& member : std::span(btf_members(type), btf_vlen(type))) {
    const size_t offset = base + member.offset / 8;
    const std::string name = btf__name_by_offset(types, member.name_off);
    if (name.empty()) {  // anonymous union
      add_members(types, btf__type_by_id(types, member.type), offset, layout);
      continue;
    }
    const int64_t size = btf__resolve_size(types, member.type);
    layout.members[name] = {.offset = offset,
                            .size = static_cast<size_t>(std::max<int64_t>(size, 0))};
  }
}

// Layouts of the ABI's structs that `types` has, by name.
std::map<std::string, Layout> recorded(const btf* types) {
  std::map<std::string, Layout> layouts;
  for (uint32_t id = 1; id < btf__type_cnt(types); id++) {
    const btf_type* type = btf__type_by_id(types, id);
    const std::string name = btf__name_by_offset(types, type->name_off);
    if (btf_is_struct(type) && compiled().contains(name)) {
      Layout& layout = layouts[name];
      layout.size = type->size;
      add_members(types, type, 0, layout);
    }
  }
  return layouts;
}

std::string type_name(const btf* types, uint32_t id) {
  const btf_type* type = btf__type_by_id(types, id);
  while (type != nullptr && (btf_is_const(type) || btf_is_volatile(type))) {
    type = btf__type_by_id(types, type->type);
  }
  return type == nullptr || id == 0 ? "" : btf__name_by_offset(types, type->name_off);
}

std::string image_name(const testing::TestParamInfo<BpfImage>& info) {
  return std::string(info.param.name);
}

class AbiLayout : public testing::TestWithParam<BpfImage> {
 protected:
  void SetUp() override {
    Result<Object> object = open_image(GetParam());
    ASSERT_TRUE(object) << object.error().message();
    object_ = std::move(*object);
    types_ = bpf_object__btf(object_.get());
    ASSERT_NE(types_, nullptr) << GetParam().name << " has no BTF";
  }

  Object object_;
  const btf* types_ = nullptr;
};

TEST_P(AbiLayout, StructsHaveTheSizesAndOffsetsThatUserSpaceCompiled) {
  const std::map<std::string, Layout> layouts = recorded(types_);

  EXPECT_FALSE(layouts.empty()) << GetParam().name << " has none of bpf/abi's structs in its BTF";
  for (const auto& [name, layout] : layouts) {
    EXPECT_EQ(layout.size, compiled().at(name).size) << "size of struct " << name;
    EXPECT_EQ(layout.members, compiled().at(name).members) << "members of struct " << name;
  }
}

TEST_P(AbiLayout, TablesAreMadeOfTheTypesThatUserSpaceReads) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object_.get()) {
    const std::string name = bpf_map__name(map);
    if (name.starts_with('.') || name.find(".rodata") != std::string::npos ||
        name.find(".bss") != std::string::npos || name.find(".data") != std::string::npos) {
      continue;
    }
    ASSERT_TRUE(map_types().contains(name)) << "table " << name << " has no row in this test";
    const MapTypes types{.key = type_name(types_, bpf_map__btf_key_type_id(map)),
                         .value = type_name(types_, bpf_map__btf_value_type_id(map))};
    EXPECT_EQ(types, map_types().at(name)) << "types of table " << name;
    if (compiled().contains(types.key)) {
      EXPECT_EQ(bpf_map__key_size(map), compiled().at(types.key).size) << "key of " << name;
    }
    if (compiled().contains(types.value)) {
      EXPECT_EQ(bpf_map__value_size(map), compiled().at(types.value).size) << "value of " << name;
    }
  }
}

TEST_P(AbiLayout, NamesOfTablesFitTheKernels) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object_.get()) {
    const std::string name = bpf_map__name(map);
    if (name.starts_with("sl_")) {
      EXPECT_LE(name.size(), 15U) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryObject, AbiLayout, testing::ValuesIn(bpf_images()), image_name);

TEST(AbiCoverage, EveryKeyValueAndRecordIsInSomeObject) {
  std::set<std::string> seen;
  for (const BpfImage& image : bpf_images()) {
    const Result<Object> object = open_image(image);
    ASSERT_TRUE(object) << object.error().message();
    for (const auto& [name, layout] : recorded(bpf_object__btf(object->get()))) {
      seen.insert(name);
    }
  }

  for (const auto& [name, layout] : compiled()) {
    EXPECT_TRUE(seen.contains(name))
        << "struct " << name << " of bpf/abi is in no object's BTF: unused, or the object "
        << "needs a declaration that keeps it there";
  }
}

TEST(AbiCoverage, EveryStructOfATableIsInTheAbi) {
  for (const auto& [map, types] : map_types()) {
    for (const std::string& type : {types.key, types.value}) {
      const bool scalar = type.empty() || type.starts_with("__u");
      EXPECT_TRUE(scalar || compiled().contains(type) || is_kernel_only(type))
          << map << ": " << type;
    }
  }
}

}  // namespace
}  // namespace sluice::test
