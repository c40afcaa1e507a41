// SPDX-License-Identifier: Apache-2.0
// One request as libcurl knows it.
#pragma once

#include <curl/curl.h>

#include <array>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "operator/source/kube/http.h"

namespace sluice {

// Owns the easy handle and what its options point to. Thread: the loop's.
class CurlTransfer : public std::enable_shared_from_this<CurlTransfer> {
 public:
  using OnSilent = std::function<void()>;

  CurlTransfer(asio::io_context& loop, HttpId id, HttpRequest request, HttpHandlers handlers);
  CurlTransfer(const CurlTransfer&) = delete;
  CurlTransfer& operator=(const CurlTransfer&) = delete;
  ~CurlTransfer();

  // Sets all options; false where libcurl refuses one (out of memory, built without it).
  bool prepare();
  // Calls on_silent once if the server says nothing for the idle timeout.
  void watch_silence(OnSilent on_silent);

  CURL* handle() const { return easy_; }
  HttpId id() const { return id_; }
  bool added = false;  // to the multi handle

  HttpEnd end_of(CURLcode code) const;
  HttpEnd end_of_silence() const;
  // The handlers, for the last call: none is called any more.
  HttpHandlers release_handlers();

 private:
  static size_t on_header(char* data, size_t size, size_t count, void* self);
  static size_t on_body(char* data, size_t size, size_t count, void* self);
  bool set_identity(const HttpIdentity& identity);
  bool set_request();
  void wait_silence(std::chrono::steady_clock::time_point until);
  std::string what() const;
  bool was_sent() const;

  const HttpId id_;
  HttpRequest request_;
  HttpHandlers handlers_;
  CURL* easy_;
  curl_slist* headers_ = nullptr;
  curl_slist* connect_to_ = nullptr;
  std::array<char, CURL_ERROR_SIZE> error_{};
  asio::steady_timer silence_;
  std::chrono::steady_clock::time_point last_byte_;
  OnSilent on_silent_;
};

}  // namespace sluice
