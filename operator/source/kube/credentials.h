// SPDX-License-Identifier: Apache-2.0
// Where the API server is and who we are to it; files behind that are read again when they change.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "operator/source/kube/http.h"

namespace sluice {

// Text, or the file that has it.
struct PemSource {
  std::string file{};
  std::string text{};

  bool is_set() const { return !file.empty() || !text.empty(); }
  bool operator==(const PemSource&) const = default;
};

// As a kubeconfig or the folder of a service account says it.
struct ClusterAccess {
  std::vector<std::string>
      servers{};              // "https://10.0.0.1:6443", no slash at the end; tried in order
  std::string server_name{};  // expected in the server's certificate; empty: the host
  PemSource authority{};
  PemSource certificate{};
  PemSource key{};
  PemSource token{};

  bool operator==(const ClusterAccess&) const = default;
};

// "https://HOST[:PORT]" without path, query or user. kInvalid says what is wrong.
Status check_server(const std::string& server);

// The access of a pod: token and authority of `folder`
// (/var/run/secrets/kubernetes.io/serviceaccount). servers: empty for the address that kubelet puts
// into the environment (KUBERNETES_SERVICE_HOST, _PORT), given here as host and port.
struct PodEnvironment {
  std::string folder = "/var/run/secrets/kubernetes.io/serviceaccount";
  std::string host{};
  std::string port{};
};
Result<ClusterAccess> pod_access(const PodEnvironment& environment,
                                 std::vector<std::string> servers);

// Thread: one.
class Credentials {
 public:
  // kNotFound, kInvalid name the file.
  static Result<Credentials> open(ClusterAccess access);

  const std::vector<std::string>& servers() const { return access_.servers; }
  // Files whose size, inode or time changed are read again. One that cannot be read, or has become
  // empty, leaves what was known: problem() says so until it is mended.
  std::shared_ptr<const HttpIdentity> current();
  // The server refused us: the next current() reads all files, changed or not.
  void distrust() { read_all_ = true; }
  const std::string& problem() const { return problem_; }
  uint64_t reloads() const { return reloads_; }

 private:
  struct Source {
    PemSource source;
    std::string HttpIdentity::* field;
    std::string stamp{};  // of the file when it was read
  };

  explicit Credentials(ClusterAccess access);
  Status reload(HttpIdentity& identity);

  ClusterAccess access_;
  std::vector<Source> sources_;
  std::shared_ptr<const HttpIdentity> identity_;
  bool read_all_ = true;
  std::string problem_;
  uint64_t reloads_ = 0;
};

}  // namespace sluice
