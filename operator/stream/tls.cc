// SPDX-License-Identifier: Apache-2.0
// The operator's certificate as gRPC takes it.
#include "operator/stream/tls.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include "lib/fd/fd.h"

namespace sluice {
namespace {

constexpr unsigned kRefreshSeconds = 1;

}  // namespace

Result<ServerTls> ServerTls::open(const std::string& folder, const KeyPair& pair) {
  ServerTls tls;
  tls.path_ = folder + "/control-server.pem";
  if (auto made = make_directories(folder); !made) return fail(within("TLS", made.error()));
  if (auto written = tls.replace(pair); !written) return fail(written.error());
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(tls.path_, tls.path_,
                                                                           kRefreshSeconds));
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  tls.credentials_ = grpc::experimental::TlsServerCredentials(options);
  return tls;
}

Status ServerTls::replace(const KeyPair& pair) {
  return write_file(path_, pair.key_pem + pair.certificate_pem, 0600);
}

}  // namespace sluice
