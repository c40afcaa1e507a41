// SPDX-License-Identifier: Apache-2.0
// A kubeconfig file as access to a cluster.
#include "operator/source/kube/kubeconfig.h"

#include <yaml-cpp/binary.h>
#include <yaml-cpp/yaml.h>

#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "lib/fd/fd.h"

namespace sluice {
namespace {

// One mapping of the file, with its path for errors. The first error is kept.
class Section {
 public:
  Section(const YAML::Node& node, std::string path, std::optional<Error>& error)
      : node_(node), path_(std::move(path)), error_(error) {}

  std::string text(const char* key) const {
    const YAML::Node field = get(key);
    if (!field.IsDefined() || field.IsNull()) return "";
    if (field.IsScalar()) return field.Scalar();
    refuse(key, "must be a string");
    return "";
  }
  std::string required(const char* key) const {
    const std::string value = text(key);
    if (value.empty()) refuse(key, "is missing");
    return value;
  }
  bool has(const char* key) const {
    const YAML::Node field = get(key);
    return field.IsDefined() && !field.IsNull();
  }
  void refuse(const std::string& key, const std::string& what) const {
    const std::string at = path_.empty() ? key : path_ + "." + key;
    if (!error_)
      error_ = Error{.code = ErrorCode::kInvalid, .sys_errno = 0, .context = at + ": " + what};
  }
  // The mapping `inner` of the entry called `name` of the list `key`.
  Section named(const char* key, const char* inner, const std::string& name) const {
    const YAML::Node list = get(key);
    if (list.IsDefined() && !list.IsNull() && !list.IsSequence()) refuse(key, "must be a list");
    for (size_t i = 0; list.IsDefined() && list.IsSequence() && i < list.size(); ++i) {
      const YAML::Node& entry = list[i];
      if (!entry.IsMap() || !entry["name"].IsDefined() || !entry["name"].IsScalar() ||
          entry["name"].Scalar() != name)
        continue;
      const std::string path = std::string(key) + "[" + std::to_string(i) + "]." + inner;
      if (!entry[inner].IsDefined() || !entry[inner].IsMap()) refuse(path, "must be a mapping");
      return {entry[inner].IsDefined() ? YAML::Node(entry[inner]) : YAML::Node(), path, error_};
    }
    refuse(key, "has no entry \"" + name + "\"");
    return {YAML::Node(), key, error_};
  }

 private:
  YAML::Node get(const char* key) const {
    const YAML::Node& map = node_;
    return map.IsDefined() && map.IsMap() ? map[key] : YAML::Node(YAML::NodeType::Undefined);
  }

  YAML::Node node_;
  std::string path_;
  std::optional<Error>& error_;
};

class Reader {
 public:
  Reader(std::string_view file, std::optional<Error>& error)
      : folder_(std::filesystem::path(file).parent_path()), error_(error) {}

  ClusterAccess read(const YAML::Node& root);

 private:
  PemSource pem(const Section& section, const std::string& file_key) const;
  std::string path(const std::string& file) const;
  void read_cluster(const Section& cluster, ClusterAccess& access) const;
  void read_user(const Section& user, ClusterAccess& access) const;

  std::filesystem::path folder_;
  std::optional<Error>& error_;
};

std::string Reader::path(const std::string& file) const {
  return file.empty() ? "" : (folder_ / file).string();
}

// "certificate-authority" (a file) or "certificate-authority-data", which wins.
PemSource Reader::pem(const Section& section, const std::string& file_key) const {
  const std::string data_key = file_key + "-data";
  const std::string data = section.text(data_key.c_str());
  if (data.empty()) return {.file = path(section.text(file_key.c_str())), .text = ""};
  const std::vector<unsigned char> bytes = YAML::DecodeBase64(data);  // nothing where it is none
  std::string text(bytes.begin(), bytes.end());
  if (text.find("-----BEGIN ") == std::string::npos)
    section.refuse(data_key, "is not base64 of a PEM text");
  return {.file = "", .text = std::move(text)};
}

void Reader::read_cluster(const Section& cluster, ClusterAccess& access) const {
  std::string server = cluster.required("server");
  while (server.ends_with('/')) server.pop_back();
  if (const auto checked = check_server(server); !server.empty() && !checked)
    cluster.refuse("server", checked.error().context);
  access.servers = {server};
  access.server_name = cluster.text("tls-server-name");
  access.authority = pem(cluster, "certificate-authority");
  const std::string insecure = cluster.text("insecure-skip-tls-verify");
  if (!insecure.empty() && insecure != "false")
    cluster.refuse("insecure-skip-tls-verify", "is refused: give certificate-authority-data");
  if (!cluster.text("proxy-url").empty())
    cluster.refuse("proxy-url", "is refused: no proxy is used");
}

void Reader::read_user(const Section& user, ClusterAccess& access) const {
  for (const char* key : {"exec", "auth-provider"}) {
    if (user.has(key)) {
      user.refuse(key,
                  "is refused: no program is run for credentials; give tokenFile, token or a "
                  "client certificate");
    }
  }
  for (const char* key : {"username", "password"}) {
    if (user.has(key)) user.refuse(key, "is refused: the API server takes no passwords");
  }
  for (const char* key : {"as", "as-uid", "as-groups", "as-user-extra"}) {
    if (user.has(key)) user.refuse(key, "is refused: no other user is impersonated");
  }
  access.certificate = pem(user, "client-certificate");
  access.key = pem(user, "client-key");
  if (access.certificate.is_set() != access.key.is_set()) {
    user.refuse(access.key.is_set() ? "client-certificate" : "client-key",
                "is missing beside the other of the two");
  }
  // As for kubectl, the file wins over the token.
  access.token = {.file = path(user.text("tokenFile")), .text = ""};
  if (access.token.file.empty()) access.token.text = user.text("token");
  for (const char c : access.token.text) {
    if (c <= ' ' || c >= 127) return user.refuse("token", "has spaces or control characters");
  }
}

ClusterAccess Reader::read(const YAML::Node& root) {
  ClusterAccess access;
  const Section top(root, "", error_);
  if (!root.IsMap()) {
    top.refuse("kubeconfig", "must be a mapping");
    return access;
  }
  const std::string kind = top.text("kind");
  if (!kind.empty() && kind != "Config") top.refuse("kind", "\"" + kind + "\" is not Config");
  const std::string name = top.required("current-context");
  if (error_) return access;
  const Section context = top.named("contexts", "context", name);
  if (error_) return access;
  const std::string cluster = context.required("cluster");
  const std::string user = context.text("user");
  if (error_) return access;
  read_cluster(top.named("clusters", "cluster", cluster), access);
  if (!user.empty()) read_user(top.named("users", "user", user), access);
  return access;
}

}  // namespace

Result<ClusterAccess> parse_kubeconfig(std::string_view file, std::string_view text) {
  const std::string doing = "kubeconfig " + std::string(file);
  try {
    std::optional<Error> error;
    Reader reader(file, error);
    ClusterAccess access = reader.read(YAML::Load(std::string(text)));
    if (error) return fail(within(doing, *error));
    return access;
  } catch (const YAML::Exception& exception) {
    return fail(ErrorCode::kInvalid, doing + ": line " + std::to_string(exception.mark.line + 1) +
                                         ": not YAML: " + exception.msg);
  }
}

Result<ClusterAccess> read_kubeconfig(const std::string& file) {
  const auto text = read_file(file);
  if (!text) return fail(within("kubeconfig", text.error()));
  return parse_kubeconfig(file, *text);
}

}  // namespace sluice
