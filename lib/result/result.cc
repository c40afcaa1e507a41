// SPDX-License-Identifier: Apache-2.0
#include "lib/result/result.h"

#include <cerrno>
#include <cstring>

namespace sluice {

namespace {

ErrorCode code_of(int sys_errno) {
  switch (sys_errno) {
    case EINVAL:
      return ErrorCode::kInvalid;
    case ENOENT:
    case ENODEV:
    case ESRCH:
    case ENXIO:
    case EADDRNOTAVAIL:
      return ErrorCode::kNotFound;
    case EEXIST:
      return ErrorCode::kExists;
    case ENOSPC:
    case ENOMEM:
    case E2BIG:
    case EMFILE:
      return ErrorCode::kExhausted;
    case EPERM:
    case EACCES:
      return ErrorCode::kPermission;
    case EAGAIN:
    case ECONNREFUSED:
      return ErrorCode::kUnavailable;
    case ETIMEDOUT:
      return ErrorCode::kTimeout;
    case EOPNOTSUPP:
    case ENOSYS:
    case EAFNOSUPPORT:
      return ErrorCode::kUnsupported;
    default:
      return ErrorCode::kKernel;
  }
}

}  // namespace

std::string Error::message() const {
  if (sys_errno == 0) return context;
  return context + ": " + std::strerror(sys_errno);
}

Error within(std::string_view doing, Error error) {
  error.context = std::string(doing) + ": " + error.context;
  return error;
}

Error from_errno(std::string context) {
  return from_errno(std::move(context), errno);
}

Error from_errno(std::string context, int sys_errno) {
  return Error{.code = code_of(sys_errno), .sys_errno = sys_errno, .context = std::move(context)};
}

std::string_view name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalid:
      return "invalid";
    case ErrorCode::kNotFound:
      return "not-found";
    case ErrorCode::kExists:
      return "exists";
    case ErrorCode::kExhausted:
      return "exhausted";
    case ErrorCode::kPermission:
      return "permission";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kTimeout:
      return "timeout";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kKernel:
      return "kernel";
  }
  return "unknown";
}

}  // namespace sluice
