// SPDX-License-Identifier: Apache-2.0
// Owners of what libbpf hands out: here, what it logs.
#include "lib/skeleton/skeleton.h"

#include <bpf/libbpf.h>

#include <array>
#include <cstdarg>
#include <cstdio>

namespace sluice {

namespace {

constexpr size_t kKeptBytes = 1U << 20U;

// libbpf's callback has no argument of ours: the thread is the only thing that tells who asked.
thread_local std::string* capture = nullptr;

int keep(libbpf_print_level level, const char* format, va_list arguments) {
  if (capture == nullptr || level == LIBBPF_DEBUG) return 0;
  va_list again;
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (length <= 0) return 0;
  std::string line(static_cast<size_t>(length) + 1, '\0');
  std::vsnprintf(line.data(), line.size(), format, arguments);
  line.pop_back();
  if (capture->size() + line.size() > kKeptBytes) capture->clear();
  *capture += line;
  return length;
}

}  // namespace

LibbpfLog::LibbpfLog() {
  libbpf_set_print(keep);
  capture = &text_;
}

LibbpfLog::~LibbpfLog() {
  capture = nullptr;
}

std::string LibbpfLog::tail(size_t bytes) const {
  std::string end = text_.size() <= bytes ? text_ : text_.substr(text_.size() - bytes);
  while (!end.empty() && end.back() == '\n') end.pop_back();
  return end;
}

}  // namespace sluice
