// SPDX-License-Identifier: Apache-2.0
// A Lease of coordination.k8s.io/v1.
#include "operator/lead/lease.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using nlohmann::json;

constexpr const char* kApiVersion = "coordination.k8s.io/v1";
constexpr int64_t kMicro = 1'000'000;

template <class T>
void read(const json& spec, const char* field, T& value) {
  const auto found = spec.find(field);
  if (found != spec.end() && !found->is_null()) found->get_to(value);
}

json spec_of(const LeaseClaim& claim) {
  return {{"holderIdentity", claim.holder},
          {"leaseDurationSeconds", claim.duration_s},
          {"acquireTime", claim.acquired},
          {"renewTime", claim.renewed},
          {"leaseTransitions", claim.transitions}};
}

}  // namespace

Result<Lease> parse_lease(std::string_view text) {
  try {
    const json object = json::parse(text);
    Lease lease{.object = std::string(text)};
    if (object.at("metadata").at("resourceVersion").get<std::string>().empty())
      return fail(ErrorCode::kInvalid, "Lease: metadata.resourceVersion is empty");
    const auto spec = object.find("spec");
    if (spec == object.end() || spec->is_null()) return lease;
    read(*spec, "holderIdentity", lease.claim.holder);
    read(*spec, "leaseDurationSeconds", lease.claim.duration_s);
    read(*spec, "acquireTime", lease.claim.acquired);
    read(*spec, "renewTime", lease.claim.renewed);
    read(*spec, "leaseTransitions", lease.claim.transitions);
    return lease;
  } catch (const json::exception& error) {
    return fail(ErrorCode::kInvalid, std::string("Lease: ") + error.what());
  }
}

std::string lease_body(const Lease& lease, const LeaseClaim& claim) {
  json object = json::parse(lease.object, nullptr, false);
  object["spec"].update(spec_of(claim));
  return object.dump();
}

std::string new_lease_body(const std::string& namespace_name, const std::string& name,
                           const LeaseClaim& claim) {
  return json{{"apiVersion", kApiVersion},
              {"kind", "Lease"},
              {"metadata", {{"namespace", namespace_name}, {"name", name}}},
              {"spec", spec_of(claim)}}
      .dump();
}

std::string micro_time(int64_t unix_us) {
  const std::time_t seconds = static_cast<std::time_t>(unix_us / kMicro);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 40> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text.data() + size, text.size() - size, ".%06dZ",
                static_cast<int>(unix_us % kMicro));
  return text.data();
}

}  // namespace sluice
