// SPDX-License-Identifier: Apache-2.0
// Where the API server is and who we are to it.
#include "operator/source/kube/credentials.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "lib/fd/fd.h"
#include "lib/ip/ip.h"

namespace sluice {
namespace {

std::string stamp_of(const std::string& file) {
  struct stat info = {};
  if (::stat(file.c_str(), &info) != 0) return "";
  return std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino) + ":" +
         std::to_string(info.st_size) + ":" + std::to_string(info.st_mtim.tv_sec) + "." +
         std::to_string(info.st_mtim.tv_nsec);
}

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }) &&
         std::stoi(std::string(text)) >= 1 && std::stoi(std::string(text)) <= 65535;
}

// A token goes into a header line: what would break out of it is no token.
bool is_token(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
}

}  // namespace

Status check_server(const std::string& server) {
  const auto wrong = [&](const char* what) {
    return fail(ErrorCode::kInvalid, "\"" + server + "\" " + what);
  };
  if (!server.starts_with("https://")) return wrong("is not https://HOST:PORT");
  const std::string rest = server.substr(8);
  if (rest.find_first_of("/?#@ \t\r\n\"") != std::string::npos)
    return wrong("has more than https://HOST:PORT");
  std::string host = rest;
  if (rest.starts_with('[')) {
    const size_t end = rest.find(']');
    if (end == std::string::npos || !parse_address(rest.substr(1, end - 1)))
      return wrong("has no IPv6 address between its brackets");
    host = "6" + rest.substr(end + 1);
  }
  const size_t colon = host.find(':');
  if (colon != std::string::npos && !is_port(host.substr(colon + 1)))
    return wrong("has no port of 1 to 65535 after its ':'; an IPv6 address needs brackets");
  if (host.substr(0, colon).empty()) return wrong("has no host");
  return {};
}

Result<ClusterAccess> pod_access(const PodEnvironment& environment,
                                 std::vector<std::string> servers) {
  if (servers.empty()) {
    if (environment.host.empty() || environment.port.empty()) {
      return fail(
          ErrorCode::kInvalid,
          "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod; "
          "name a kubeconfig or the API servers");
    }
    const bool is_v6 = environment.host.find(':') != std::string::npos;
    servers.push_back("https://" + (is_v6 ? "[" + environment.host + "]" : environment.host) + ":" +
                      environment.port);
  }
  for (std::string& server : servers) {
    if (server.ends_with('/')) server.pop_back();
    if (auto checked = check_server(server); !checked)
      return fail(within("API server", checked.error()));
  }
  return ClusterAccess{.servers = std::move(servers),
                       .server_name = "",
                       .authority = {.file = environment.folder + "/ca.crt", .text = ""},
                       .token = {.file = environment.folder + "/token", .text = ""}};
}

Credentials::Credentials(ClusterAccess access)
    : access_(std::move(access)), identity_(std::make_shared<const HttpIdentity>()) {
  sources_ = {{access_.authority, &HttpIdentity::authority},
              {access_.certificate, &HttpIdentity::certificate},
              {access_.key, &HttpIdentity::key},
              {access_.token, &HttpIdentity::token}};
}

Result<Credentials> Credentials::open(ClusterAccess access) {
  Credentials credentials(std::move(access));
  HttpIdentity identity{.server_name = credentials.access_.server_name};
  if (auto loaded = credentials.reload(identity); !loaded)
    return fail(within("credentials of the API server", loaded.error()));
  credentials.identity_ = std::make_shared<const HttpIdentity>(std::move(identity));
  credentials.read_all_ = false;
  return credentials;
}

// Reads what changed into `identity`; all of it or, with an error, nothing that counts as read.
Status Credentials::reload(HttpIdentity& identity) {
  std::vector<std::string> stamps;
  for (const Source& source : sources_) {
    const std::string& file = source.source.file;
    stamps.push_back(file.empty() ? "" : stamp_of(file));
    if (file.empty()) {
      identity.*source.field = source.source.text;
      continue;
    }
    if (!read_all_ && !stamps.back().empty() && stamps.back() == source.stamp) continue;
    auto text = read_file(file);
    if (!text) return fail(text.error());
    const bool is_token_file = source.field == &HttpIdentity::token;
    while (is_token_file && !text->empty() && (text->back() == '\n' || text->back() == '\r'))
      text->pop_back();
    if (text->empty()) return fail(ErrorCode::kInvalid, file + " is empty");
    if (is_token_file && !is_token(*text))
      return fail(ErrorCode::kInvalid, file + " is no token: it has spaces or control characters");
    identity.*source.field = std::move(*text);
  }
  for (size_t i = 0; i < sources_.size(); ++i) sources_[i].stamp = std::move(stamps[i]);
  return {};
}

std::shared_ptr<const HttpIdentity> Credentials::current() {
  HttpIdentity identity = *identity_;
  const auto loaded = reload(identity);
  problem_ = loaded ? "" : loaded.error().message();
  if (!loaded) return identity_;
  read_all_ = false;
  if (identity == *identity_) return identity_;  // connections of before stay good
  reloads_++;
  identity_ = std::make_shared<const HttpIdentity>(std::move(identity));
  return identity_;
}

}  // namespace sluice
