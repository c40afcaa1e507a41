// SPDX-License-Identifier: Apache-2.0
// The operator's certificate as gRPC takes it: replaced while streams are open, which keep running.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "lib/result/result.h"
#include "operator/stream/certificates.h"

namespace sluice {

class ServerTls {
 public:
  // Keeps key and certificate in <folder>/control-server.pem, mode 0600: gRPC follows a file, and
  // only one file changes both at once. The folder should be in memory.
  static Result<ServerTls> open(const std::string& folder, const KeyPair& pair);

  // Handshakes that begin a second later have the new one.
  Status replace(const KeyPair& pair);
  std::shared_ptr<grpc::ServerCredentials> credentials() const { return credentials_; }

 private:
  std::string path_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;
};

}  // namespace sluice
