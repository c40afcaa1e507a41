// SPDX-License-Identifier: Apache-2.0
// This agent's numbers of identities, kept over restarts on disk.
// File: {"version": 1, "next": u32, "identities": {"namespace=demo": u32, ...}}
#include "agent/desired/identities.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "bpf/abi/endpoint.h"
#include "lib/fd/fd.h"

namespace sluice {
namespace {

constexpr int kFileVersion = 1;

struct Content {
  uint32_t next = 0;
  std::map<std::string, uint32_t> numbers{};
};

std::optional<uint32_t> number_of(const nlohmann::json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  const auto number = value.get<uint64_t>();
  if (number < IDENTITY_FIRST_LOCAL || number > std::numeric_limits<uint32_t>::max())
    return std::nullopt;
  return static_cast<uint32_t>(number);
}

Result<Content> decode(const std::string& text) {
  const auto root = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) return fail(ErrorCode::kInvalid, "not a JSON object");
  if (root.value("version", nlohmann::json()) != kFileVersion)
    return fail(ErrorCode::kInvalid, "version: must be 1");
  const auto next = number_of(root.value("next", nlohmann::json()));
  if (!next) return fail(ErrorCode::kInvalid, "next: must be a number from 256");
  const auto identities = root.value("identities", nlohmann::json());
  if (!identities.is_object()) return fail(ErrorCode::kInvalid, "identities: must be an object");
  Content content{.next = *next};
  std::set<uint32_t> used;
  for (const auto& [name, value] : identities.items()) {
    const auto number = number_of(value);
    if (!number || *number >= *next)
      return fail(ErrorCode::kInvalid,
                  "identities." + name + ": must be a number from 256, below next");
    if (!used.insert(*number).second)
      return fail(ErrorCode::kInvalid, "identities." + name + ": the number is another's too");
    content.numbers[name] = *number;
  }
  return content;
}

}  // namespace

Result<IdentityNumbers> IdentityNumbers::open(const std::string& state_dir) {
  IdentityNumbers result;
  result.path_ = state_dir + "/identities.json";
  result.next_ = IDENTITY_FIRST_LOCAL;
  const auto text = read_file(result.path_);
  if (!text) {
    if (text.error().code == ErrorCode::kNotFound) return result;
    return fail(within("load identity numbers", text.error()));
  }
  auto content = decode(*text);
  if (!content) {
    const std::string aside = result.path_ + ".corrupt";
    spdlog::warn("{}: {}; set aside as {}, identities get new numbers", result.path_,
                 content.error().message(), aside);
    if (std::rename(result.path_.c_str(), aside.c_str()) != 0)
      return fail(from_errno("set aside " + result.path_));
    return result;
  }
  result.next_ = content->next;
  result.numbers_ = std::move(content->numbers);
  return result;
}

bool IdentityNumbers::number(const std::set<std::string>& names) {
  bool changed = false;
  for (const std::string& name : names) {
    if (!numbers_.emplace(name, next_).second) continue;
    ++next_;
    changed = true;
  }
  return changed;
}

bool IdentityNumbers::forget_others(const std::set<std::string>& names) {
  return std::erase_if(numbers_, [&](const auto& entry) { return !names.contains(entry.first); }) >
         0;
}

Status IdentityNumbers::save() const {
  const nlohmann::json root = {
      {"version", kFileVersion}, {"next", next_}, {"identities", numbers_}};
  const std::string text =
      root.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  if (auto written = write_file(path_, text); !written)
    return fail(within("save identity numbers", written.error()));
  return {};
}

}  // namespace sluice
