// SPDX-License-Identifier: Apache-2.0
// The one list of the agent's settings.
#include "agent/config/fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>

#include "lib/labels/labels.h"

namespace sluice {
namespace {

using Values = std::vector<std::string>;

constexpr uint32_t kMaxSeconds = 30 * 24 * 3600;

std::optional<uint64_t> parse_number(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_host_port(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return false;
  std::string host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = parse_address(host);
  const auto port = parse_number(text.substr(colon + 1));
  return address && address->is_ipv4() != bracketed && port && *port >= 1 && *port <= 65535;
}

// A host name, an IPv4 address or an IPv6 address in brackets, and a port.
bool is_server(const std::string& text) {
  if (is_host_port(text)) return true;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return false;
  const std::string host = text.substr(0, colon);
  const auto port = parse_number(text.substr(colon + 1));
  // Digits and dots alone are an address that has a mistake.
  return is_dns_subdomain(host) && host.find_first_not_of("0123456789.") != std::string::npos &&
         port && *port >= 1 && *port <= 65535;
}

bool is_device_pattern(const std::string& text) {
  return !text.empty() && text.size() <= 15 && text.find_first_of("/ \t\n") == std::string::npos;
}

template <class T>
FieldSpec number(const char* path, T& (*at)(AgentConfig&), uint64_t min, uint64_t max,
                 const std::string& unit) {
  return {.path = path,
          .allowed = unit + ", " + std::to_string(min) + " to " + std::to_string(max),
          .set = [=](AgentConfig& config, const Values& values) -> std::string {
            const auto value = parse_number(values[0]);
            if (!value) return "is not a number";
            if (*value < min || *value > max) return "is out of range";
            at(config) = static_cast<T>(*value);
            return {};
          },
          .get = [=](const AgentConfig& config) -> Values {
            AgentConfig copy = config;
            return {std::to_string(at(copy))};
          }};
}

FieldSpec boolean(const char* path, bool& (*at)(AgentConfig&)) {
  return {.path = path,
          .allowed = "true or false",
          .set = [=](AgentConfig& config, const Values& values) -> std::string {
            if (values[0] != "true" && values[0] != "false") return "is neither";
            at(config) = values[0] == "true";
            return {};
          },
          .get = [=](const AgentConfig& config) -> Values {
            AgentConfig copy = config;
            return {at(copy) ? "true" : "false"};
          }};
}

using TextCheck = bool (*)(const std::string&);

FieldSpec text(const char* path, std::string& (*at)(AgentConfig&), const char* allowed,
               TextCheck check) {
  return {.path = path,
          .allowed = allowed,
          .set = [=](AgentConfig& config, const Values& values) -> std::string {
            if (!check(values[0])) return "is not allowed";
            at(config) = values[0];
            return {};
          },
          .get = [=](const AgentConfig& config) -> Values {
            AgentConfig copy = config;
            return {at(copy)};
          }};
}

FieldSpec folder(const char* path, std::string& (*at)(AgentConfig&)) {
  return text(path, at, "an absolute path",
              [](const std::string& value) { return value.starts_with('/'); });
}

// all: every value of the enumeration, by name(value).
template <class T, size_t N>
FieldSpec choice(const char* path, T& (*at)(AgentConfig&), std::array<T, N> all) {
  std::string allowed;
  for (const T value : all) allowed += (allowed.empty() ? "" : ", ") + std::string(name(value));
  return {.path = path,
          .allowed = "one of " + allowed,
          .set = [=](AgentConfig& config, const Values& values) -> std::string {
            for (const T value : all) {
              if (name(value) != values[0]) continue;
              at(config) = value;
              return {};
            }
            return "is none of them";
          },
          .get = [=](const AgentConfig& config) -> Values {
            AgentConfig copy = config;
            return {std::string(name(at(copy)))};
          }};
}

FieldSpec devices_field() {
  return {.path = "devices",
          .allowed = "a list of device names or patterns such as \"eth*\", at most 15 bytes each",
          .is_list = true,
          .set = [](AgentConfig& config, const Values& values) -> std::string {
            for (const std::string& value : values) {
              if (!is_device_pattern(value)) return "\"" + value + "\" is no device name";
            }
            config.devices = values;
            return {};
          },
          .get = [](const AgentConfig& config) { return config.devices; }};
}

FieldSpec operators_field() {
  return {.path = "operator.addresses",
          .allowed =
              "a list of HOST:PORT, one for each replica, such as \"192.0.2.1:4250\" or "
              "\"[2001:db8::1]:4250\"",
          .is_list = true,
          .set = [](AgentConfig& config, const Values& values) -> std::string {
            for (const std::string& value : values) {
              if (!is_server(value)) return "\"" + value + "\" is not HOST:PORT";
            }
            config.operator_access.addresses = values;
            return {};
          },
          .get = [](const AgentConfig& config) { return config.operator_access.addresses; }};
}

FieldSpec no_translate_field() {
  return {.path = "noTranslateCidrs",
          .allowed = "a list of CIDRs such as \"10.0.0.0/8\"",
          .is_list = true,
          .set = [](AgentConfig& config, const Values& values) -> std::string {
            std::vector<Prefix> prefixes;
            for (const std::string& value : values) {
              const auto prefix = parse_prefix(value);
              if (!prefix) return prefix.error().context;
              prefixes.push_back(*prefix);
            }
            config.node.no_translate = std::move(prefixes);
            return {};
          },
          .get =
              [](const AgentConfig& config) {
                Values values;
                for (const Prefix& prefix : config.node.no_translate)
                  values.push_back(to_string(prefix));
                return values;
              }};
}

bool is_log_level(const std::string& value) {
  static constexpr std::array<std::string_view, 6> kLevels = {"trace", "debug", "info",
                                                              "warn",  "error", "off"};
  return std::find(kLevels.begin(), kLevels.end(), value) != kLevels.end();
}

// A captureless lambda that names a member, as the function pointer that the helpers take.
#define SLUICE_FIELD(type, member) (+[](AgentConfig& config) -> type& { return config.member; })

void add_node_fields(std::vector<FieldSpec>& fields) {
  fields.push_back(text("nodeName", SLUICE_FIELD(std::string, node.node_name),
                        "the name of the Node object",
                        [](const std::string& value) { return !value.empty(); }));
  fields.push_back(text("standaloneDir", SLUICE_FIELD(std::string, standalone_dir),
                        "a folder of Kubernetes manifests, or \"\"",
                        [](const std::string&) { return true; }));
  fields.push_back(operators_field());
  const auto secret = [&](const char* path, std::string& (*at)(AgentConfig&)) {
    fields.push_back(text(path, at, "an absolute path",
                          [](const std::string& value) { return value.starts_with('/'); }));
  };
  secret("operator.authoritiesFile", SLUICE_FIELD(std::string, operator_access.authorities_file));
  secret("operator.tokenFile", SLUICE_FIELD(std::string, operator_access.token_file));
  fields.push_back(choice("routing", SLUICE_FIELD(Routing, node.routing),
                          std::array{Routing::kAuto, Routing::kNative, Routing::kVxlan}));
  fields.push_back(devices_field());
  fields.push_back(boolean("ipv4", SLUICE_FIELD(bool, node.ipv4)));
  fields.push_back(boolean("ipv6", SLUICE_FIELD(bool, node.ipv6)));
  fields.push_back(
      number("mtu", SLUICE_FIELD(uint32_t, node.mtu), 0, 65535, "bytes, 0: from the uplink"));
  fields.push_back(boolean("snat.enabled", SLUICE_FIELD(bool, node.translate)));
  fields.push_back(
      number("snat.portMin", SLUICE_FIELD(uint16_t, node.snat_port_min), 1024, 65535, "a port"));
  fields.push_back(
      number("snat.portMax", SLUICE_FIELD(uint16_t, node.snat_port_max), 1024, 65535, "a port"));
  fields.push_back(no_translate_field());
  fields.push_back(number("tunnel.vni", SLUICE_FIELD(uint32_t, node.tunnel_id), 1, (1U << 24) - 1,
                          "a VXLAN network id"));
}

void add_place_fields(std::vector<FieldSpec>& fields) {
  fields.push_back(folder("bpffs", SLUICE_FIELD(std::string, bpffs)));
  fields.push_back(folder("stateDir", SLUICE_FIELD(std::string, state_dir)));
  fields.push_back(folder("runDir", SLUICE_FIELD(std::string, run_dir)));
  fields.push_back(folder("cniConfDir", SLUICE_FIELD(std::string, cni_conf_dir)));
  fields.push_back(folder("cniBinDir", SLUICE_FIELD(std::string, cni_bin_dir)));
  fields.push_back(
      text("cniBinary", SLUICE_FIELD(std::string, cni_binary),
           "an absolute path, or \"\": sluice-cni beside the agent",
           [](const std::string& value) { return value.empty() || value.starts_with('/'); }));
  fields.push_back(boolean("installCni", SLUICE_FIELD(bool, install_cni)));
}

void add_table_fields(std::vector<FieldSpec>& fields) {
  const auto seconds = [&](const char* path, uint32_t& (*at)(AgentConfig&)) {
    fields.push_back(number(path, at, 1, kMaxSeconds, "seconds"));
  };
  fields.push_back(number("conntrack.maxEntries", SLUICE_FIELD(uint32_t, conntrack_max_entries),
                          1024, 1U << 27, "rows"));
  seconds("conntrack.tcpNewSeconds", SLUICE_FIELD(uint32_t, conntrack_timeouts.tcp_new_s));
  seconds("conntrack.tcpEstablishedSeconds",
          SLUICE_FIELD(uint32_t, conntrack_timeouts.tcp_established_s));
  seconds("conntrack.tcpClosingSeconds", SLUICE_FIELD(uint32_t, conntrack_timeouts.tcp_closing_s));
  seconds("conntrack.tcpClosedSeconds", SLUICE_FIELD(uint32_t, conntrack_timeouts.tcp_closed_s));
  seconds("conntrack.udpSeconds", SLUICE_FIELD(uint32_t, conntrack_timeouts.udp_s));
  seconds("conntrack.icmpSeconds", SLUICE_FIELD(uint32_t, conntrack_timeouts.icmp_s));
  seconds("conntrack.otherSeconds", SLUICE_FIELD(uint32_t, conntrack_timeouts.other_s));
}

void add_run_fields(std::vector<FieldSpec>& fields) {
  fields.push_back(
      text("metricsAddress", SLUICE_FIELD(std::string, metrics_address),
           "ADDRESS:PORT such as \"192.0.2.1:9962\" or \"[::]:9962\" (every address of both "
           "families), or \"\": off",
           [](const std::string& value) { return value.empty() || is_host_port(value); }));
  fields.push_back(number("flowsBufferEntries", SLUICE_FIELD(uint32_t, flows_buffer_entries), 1,
                          (1U << 20) - 1, "flows"));
  fields.push_back(text("logLevel", SLUICE_FIELD(std::string, log_level),
                        "one of trace, debug, info, warn, error, off", is_log_level));
  fields.push_back(choice("attach", SLUICE_FIELD(AttachMode, attach),
                          std::array{AttachMode::kAuto, AttachMode::kTcx, AttachMode::kClsact}));
}

#undef SLUICE_FIELD

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  });
  return result;
}

}  // namespace

std::string_view name(AttachMode mode) {
  switch (mode) {
    case AttachMode::kAuto:
      return "auto";
    case AttachMode::kTcx:
      return "tcx";
    case AttachMode::kClsact:
      return "clsact";
  }
  return "unknown";
}

std::vector<FieldSpec> config_fields() {
  std::vector<FieldSpec> fields;
  add_node_fields(fields);
  add_place_fields(fields);
  add_table_fields(fields);
  add_run_fields(fields);
  return fields;
}

std::string flag_name(std::string_view path) {
  std::string flag;
  for (const char c : path) {
    if (c == '.') {
      flag += '-';
    } else if (c >= 'A' && c <= 'Z') {
      flag += '-';
      flag += static_cast<char>(c + ('a' - 'A'));
    } else {
      flag += c;
    }
  }
  return flag;
}

std::string nearest(std::string_view name, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, name.size() / 2) + 1;
  for (const std::string& candidate : known) {
    // The end counts too, so that "portMin" finds "snat.portMin".
    const std::string tail = candidate.substr(candidate.rfind('.') + 1);
    const size_t distance = std::min(edit_distance(lower(name), lower(candidate)),
                                     edit_distance(lower(name), lower(tail)));
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace sluice
