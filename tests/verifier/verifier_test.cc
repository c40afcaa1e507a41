// SPDX-License-Identifier: Apache-2.0
// Loads every program under every corner of its settings and holds the cost of verification to the
// recorded figures. Environment: UPDATE=1 records, SLUICE_CORNERS=few takes fewer corners,
// SLUICE_FIGURES names another file.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "lib/fd/fd.h"
#include "tests/verifier/bpf_image.h"
#include "tests/verifier/corner.h"
#include "tests/verifier/figures.h"

namespace sluice::test {
namespace {

std::string setting(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

std::string figures_path() {
  return setting("SLUICE_FIGURES", SLUICE_FIGURES);
}
bool updating() {
  return setting("UPDATE", "0") == "1";
}

struct Case {
  BpfImage image;
  Corner corner;
};

std::string case_name(const testing::TestParamInfo<Case>& info) {
  return std::string(info.param.image.name) + "__" + info.param.corner.name;
}

// An object whose rodata has no `config` is loaded once, under its own defaults.
std::vector<Case> cases() {
  const std::vector<Corner> corners =
      setting("SLUICE_CORNERS", "all") == "few" ? few_corners() : all_corners();
  std::vector<Case> result;
  for (const BpfImage& image : bpf_images()) {
    for (const Corner& corner : corners) {
      const Result<Object> object = open_image(image);
      const bool has_config = object && set_config(object->get(), corner.config).value_or(true);
      result.push_back({.image = image, .corner = corner});
      if (!has_config) {
        break;
      }
    }
  }
  return result;
}

// What this run measured; written when it ends and UPDATE=1.
class Recorder : public testing::Environment {
 public:
  void add(const FigureKey& key, uint32_t count) { measured_[key] = count; }

  void TearDown() override {
    if (!updating() || measured_.empty()) {
      return;
    }
    Figures figures = read_figures(figures_path()).value_or(Figures{});
    if (testing::GTEST_FLAG(filter) == "*") {  // everything ran: lines of programs that are gone go
      std::erase_if(figures, [](const auto& row) { return row.first.kernel == running_kernel(); });
    }
    for (const auto& [key, count] : measured_) {
      figures[key] = count;
    }
    const Status written = write_file(figures_path(), format_figures(figures), 0644);
    EXPECT_TRUE(written) << written.error().message();
  }

 private:
  Figures measured_;
};

// Registered at the first call, which main makes; GoogleTest owns it.
Recorder& recorder() {
  static auto* instance = static_cast<Recorder*>(testing::AddGlobalTestEnvironment(new Recorder));
  return *instance;
}

class VerifierCorners : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) {
      GTEST_SKIP() << "loading programs needs root";
    }
  }
};

void hold_to_record(const Figures& recorded, const FigureKey& key, uint32_t measured) {
  const auto known = recorded.find(key);
  if (known == recorded.end()) {
    const auto kernel = recorded.lower_bound({.kernel = key.kernel, .program = "", .corner = ""});
    const bool kernel_known = kernel != recorded.end() && kernel->first.kernel == key.kernel;
    EXPECT_FALSE(kernel_known) << "no figure for this program; the line would be:\n"
                               << format_figures({{key, measured}});
    return;  // a kernel that nobody has recorded: that it loads is all that can be said
  }
  EXPECT_FALSE(exceeds(measured, known->second))
      << key.program << " under " << key.corner << ": " << known->second
      << " instructions recorded, " << measured << " now. The line would be:\n"
      << format_figures({{key, measured}});
}

TEST_P(VerifierCorners, LoadsWithinItsRecordedCost) {
  Result<Object> object = open_image(GetParam().image);
  ASSERT_TRUE(object) << object.error().message();
  const Result<bool> configured = set_config(object->get(), GetParam().corner.config);
  ASSERT_TRUE(configured) << configured.error().message();

  const int failed = bpf_object__load(object->get());
  ASSERT_EQ(failed, 0) << "the kernel refused " << GetParam().image.name << ": "
                       << strerror(-failed) << "; the verifier's log is above";

  const Result<Figures> recorded = read_figures(figures_path());
  ASSERT_TRUE(recorded || recorded.error().code == ErrorCode::kNotFound)
      << recorded.error().message();
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object->get()) {
    bpf_prog_info info{};
    __u32 size = sizeof(info);
    ASSERT_EQ(bpf_prog_get_info_by_fd(bpf_program__fd(program), &info, &size), 0);
    const FigureKey key{.kernel = running_kernel(),
                        .program = bpf_program__name(program),
                        .corner = GetParam().corner.name};
    recorder().add(key, info.verified_insns);
    if (!updating() && recorded) {
      hold_to_record(*recorded, key, info.verified_insns);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryProgram, VerifierCorners, testing::ValuesIn(cases()), case_name);

TEST(VerifierFigures, ATenthMoreIsToleratedAndNoMore) {
  EXPECT_FALSE(exceeds(1100, 1000));
  EXPECT_TRUE(exceeds(1101, 1000));
  EXPECT_FALSE(exceeds(4'000'000'000U, 4'000'000'000U));
}

TEST(VerifierFigures, ALineThatIsNotAFigureIsNamed) {
  const Result<Figures> figures = parse_figures("# x\n6.1 pod_egress all twelve\n");

  ASSERT_FALSE(figures);
  EXPECT_NE(figures.error().message().find("line 2"), std::string::npos);
}

TEST(VerifierFigures, WhatIsWrittenIsReadBack) {
  const Figures figures{{{.kernel = "6.1", .program = "pod_egress", .corner = "all"}, 1234},
                        {{.kernel = "6.12", .program = "pod_egress", .corner = "none"}, 56}};

  const Result<Figures> read = parse_figures(format_figures(figures));

  ASSERT_TRUE(read);
  EXPECT_EQ(*read, figures);
}

}  // namespace
}  // namespace sluice::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  sluice::test::recorder();
  return RUN_ALL_TESTS();
}
