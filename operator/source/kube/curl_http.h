// SPDX-License-Identifier: Apache-2.0
// HTTP/2 over TLS by libcurl's multi interface on an asio loop: no thread but the one that libcurl
// starts to look up a name, and all watches of one server share one connection.
#pragma once

#include <asio/io_context.hpp>
#include <memory>

#include "operator/source/kube/http.h"

namespace sluice {

// A peer that is gone without a word is found by TCP (keepalive, unacknowledged data: 30 s) and, if
// something in between keeps TCP alive, by the request's idle timeout. Proxies of the environment
// are not used. Thread: the one that runs `loop`; not destroyed from inside a handler.
class CurlHttp final : public Http {
 public:
  static Result<std::unique_ptr<CurlHttp>> open(asio::io_context& loop);
  ~CurlHttp() override;

  HttpId start(HttpRequest request, HttpHandlers handlers) override;
  void cancel(HttpId id) override;

 private:
  class Multi;
  explicit CurlHttp(std::shared_ptr<Multi> multi);
  std::shared_ptr<Multi> multi_;
};

}  // namespace sluice
