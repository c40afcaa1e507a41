// SPDX-License-Identifier: Apache-2.0
// Settings of the agent from a YAML file and flags.
#include "agent/config/config.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/parser.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "agent/config/fields.h"
#include "lib/fd/fd.h"
#include "lib/labels/labels.h"

namespace sluice {
namespace {

class Reader {
 public:
  Reader(std::string_view file_name, AgentConfig& config)
      : file_name_(file_name), config_(config), fields_(config_fields()) {}

  void read_root(const YAML::Node& root);
  Status result() const;

 private:
  void read_group(const YAML::Node& group, const std::string& prefix);
  void read_field(const YAML::Node& value, const FieldSpec& field);
  void report(const YAML::Node& at, const std::string& path, const std::string& what);
  const FieldSpec* find(const std::string& path) const;
  bool is_group(const std::string& path) const;
  std::string suggestion(const std::string& path) const;

  std::string file_name_;
  AgentConfig& config_;
  std::vector<FieldSpec> fields_;
  std::vector<std::string> errors_;
};

Status lines(const std::vector<std::string>& errors) {
  if (errors.empty()) return {};
  std::string text;
  for (const std::string& error : errors) text += (text.empty() ? "" : "\n") + error;
  return fail(ErrorCode::kInvalid, text);
}

std::string position(std::string_view file_name, const YAML::Mark& mark) {
  std::string text(file_name);
  if (!mark.is_null())
    text += ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
  return text + ": ";
}

Status Reader::result() const {
  return lines(errors_);
}

void Reader::report(const YAML::Node& at, const std::string& path, const std::string& what) {
  errors_.push_back(position(file_name_, at.Mark()) + (path.empty() ? "" : path + ": ") + what);
}

const FieldSpec* Reader::find(const std::string& path) const {
  const auto at = std::find_if(fields_.begin(), fields_.end(),
                               [&](const FieldSpec& field) { return field.path == path; });
  return at == fields_.end() ? nullptr : &*at;
}

bool Reader::is_group(const std::string& path) const {
  return std::any_of(fields_.begin(), fields_.end(),
                     [&](const FieldSpec& field) { return field.path.starts_with(path + "."); });
}

std::string Reader::suggestion(const std::string& path) const {
  std::vector<std::string> known;
  for (const FieldSpec& field : fields_) {
    known.push_back(field.path);
    if (const size_t dot = field.path.find('.'); dot != std::string::npos)
      known.push_back(field.path.substr(0, dot));
  }
  const std::string near = nearest(path, known);
  return near.empty() ? "" : "; the nearest known field is " + near;
}

void Reader::read_root(const YAML::Node& root) {
  if (!root.IsDefined() || root.IsNull()) return;
  if (!root.IsMap()) return report(root, "", "must be a mapping of fields to values");
  read_group(root, "");
}

void Reader::read_group(const YAML::Node& group, const std::string& prefix) {
  std::set<std::string> seen;
  for (const auto& entry : group) {
    const std::string path = prefix + (entry.first.IsScalar() ? entry.first.Scalar() : "?");
    const FieldSpec* field = find(path);
    if (!seen.insert(path).second) {
      report(entry.first, path, "is given twice");
    } else if (field != nullptr) {
      read_field(entry.second, *field);
    } else if (!is_group(path)) {
      report(entry.first, path, "unknown field" + suggestion(path));
    } else if (entry.second.IsMap()) {
      read_group(entry.second, path + ".");
    } else {
      report(entry.second, path, "must be a mapping of fields to values");
    }
  }
}

void Reader::read_field(const YAML::Node& value, const FieldSpec& field) {
  const std::string allowed = "; allowed: " + field.allowed;
  std::vector<std::string> values;
  if (field.is_list ? !value.IsSequence() : !value.IsScalar()) {
    return report(value, field.path,
                  (field.is_list ? "must be a list" : "must be one value") + allowed);
  }
  if (!field.is_list) values.push_back(value.Scalar());
  for (const YAML::Node& item : value) {
    if (!item.IsScalar()) return report(item, field.path, "must hold text only" + allowed);
    values.push_back(item.Scalar());
  }
  const std::string wrong = field.set(config_, values);
  if (!wrong.empty())
    report(value, field.path, (field.is_list ? "" : "\"" + values[0] + "\" ") + wrong + allowed);
}

// Tells where a document starts.
class Starts final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { start_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  const YAML::Mark& start() const { return start_; }

 private:
  YAML::Mark start_;
};

// Nothing of a second document would be read. The library also finds one, and then ever another,
// where a value stands that cannot, as in a text like ",".
Status check_single(std::string_view file_name, const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  Starts starts;
  if (!parser.HandleNextDocument(starts) || !parser.HandleNextDocument(starts)) return {};
  return fail(ErrorCode::kInvalid, position(file_name, starts.start()) +
                                       "not one mapping: a second YAML document, or a value where "
                                       "none can stand");
}

// The group of "snat.portMin" is "snat", its own name "portMin"; a field outside groups has the
// group "".
std::pair<std::string, std::string> split_path(const std::string& path) {
  const size_t dot = path.find('.');
  if (dot == std::string::npos) return {"", path};
  return {path.substr(0, dot), path.substr(dot + 1)};
}

}  // namespace

Status parse_config(std::string_view file_name, std::string_view text, AgentConfig& config) {
  Reader reader(file_name, config);
  try {
    if (auto single = check_single(file_name, std::string(text)); !single)
      return fail(single.error());
    reader.read_root(YAML::Load(std::string(text)));
  } catch (const YAML::Exception& error) {
    return fail(ErrorCode::kInvalid, position(file_name, error.mark) + "not YAML: " + error.msg);
  }
  return reader.result();
}

Status apply_flags(const FieldValues& flags, AgentConfig& config) {
  std::vector<std::string> errors;
  const auto fields = config_fields();
  for (const auto& [path, values] : flags) {
    const auto field = std::find_if(fields.begin(), fields.end(),
                                    [&](const auto& spec) { return spec.path == path; });
    if (field == fields.end() || (!field->is_list && values.size() != 1)) {
      errors.push_back("flag --" + flag_name(path) + ": " +
                       (field == fields.end() ? "unknown" : "takes one value"));
      continue;
    }
    const std::string wrong = field->set(config, values);
    if (wrong.empty()) continue;
    errors.push_back("flag --" + flag_name(path) + ": " +
                     (field->is_list ? "" : "\"" + values[0] + "\" ") + wrong +
                     "; allowed: " + field->allowed);
  }
  return lines(errors);
}

Status check_config(const AgentConfig& config) {
  const NodeSettings& node = config.node;
  std::vector<std::string> errors;
  if (!is_dns_subdomain(node.node_name)) {
    errors.push_back("nodeName: \"" + node.node_name +
                     "\" is not the name of a Node: lower-case letters, digits, '-', '.'");
  }
  if (!node.ipv4 && !node.ipv6) errors.push_back("ipv4, ipv6: one of them must be true");
  if (node.snat_port_min >= node.snat_port_max) {
    errors.push_back("snat.portMin: " + std::to_string(node.snat_port_min) +
                     " must be below snat.portMax, " + std::to_string(node.snat_port_max));
  }
  if (node.translate && node.routing != Routing::kNative && node.snat_port_min <= TUNNEL_PORT &&
      node.snat_port_max >= TUNNEL_PORT) {
    errors.push_back("snat.portMin, snat.portMax: the range holds " + std::to_string(TUNNEL_PORT) +
                     ", the tunnel's UDP port: move it, or use routing: native");
  }
  const uint32_t smallest = node.ipv6 ? 1280 : 576;
  if (node.mtu != 0 && node.mtu < smallest) {
    errors.push_back("mtu: " + std::to_string(node.mtu) + " is below " + std::to_string(smallest) +
                     ", the least that " + (node.ipv6 ? "IPv6 (RFC 8200)" : "IPv4 (RFC 791)") +
                     " needs; 0: from the uplink");
  }
  return lines(errors);
}

Status check_runnable(const AgentConfig& config) {
  const bool standalone = !config.standalone_dir.empty();
  const bool has_operator = !config.operator_access.addresses.empty();
  if (standalone && has_operator) {
    return fail(ErrorCode::kInvalid,
                "standaloneDir, operator.addresses: intent comes from one of them; leave the other "
                "out");
  }
  if (standalone || has_operator) return {};
  return fail(ErrorCode::kInvalid,
              "operator.addresses, standaloneDir: no source of intent; start with --operator "
              "HOST:PORT, or with --standalone DIR, a folder of Kubernetes manifests");
}

Result<AgentConfig> load_config(const ConfigSources& sources) {
  AgentConfig config;
  config.node.node_name = sources.hostname;
  const std::string path = sources.path.value_or(kDefaultConfigPath);
  const auto text = read_file(path);
  if (!text && (sources.path || text.error().code != ErrorCode::kNotFound)) {
    return fail(within("configuration", text.error()));
  }
  if (text) {
    if (auto parsed = parse_config(path, *text, config); !parsed) return fail(parsed.error());
  }
  if (auto applied = apply_flags(sources.flags, config); !applied) return fail(applied.error());
  if (auto checked = check_config(config); !checked) return fail(checked.error());
  return config;
}

std::string describe(const AgentConfig& config) {
  YAML::Emitter out;
  out << YAML::BeginMap;
  std::string group;
  for (const FieldSpec& field : config_fields()) {
    const auto [field_group, field_name] = split_path(field.path);
    if (field_group != group) {
      if (!group.empty()) out << YAML::EndMap;
      if (!field_group.empty()) out << YAML::Key << field_group << YAML::Value << YAML::BeginMap;
      group = field_group;
    }
    const auto values = field.get(config);
    out << YAML::Key << field_name << YAML::Value;
    if (field.is_list) {
      out << YAML::Flow << values;
    } else {
      out << values[0];
    }
  }
  if (!group.empty()) out << YAML::EndMap;
  out << YAML::EndMap;
  return std::string(out.c_str()) + "\n";
}

}  // namespace sluice
