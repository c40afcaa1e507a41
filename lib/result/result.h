// SPDX-License-Identifier: Apache-2.0
// How our functions fail: Result<T> carries a value or an Error that names the operation, the
// object and the errno.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace sluice {

enum class ErrorCode : uint8_t {
  kInvalid,      // the input is wrong: the message names the field
  kNotFound,     // the object is not there
  kExists,       // the object is there already and is not ours to change
  kExhausted,    // a range or a table is full
  kPermission,   // the kernel refused: a capability or a mount is missing
  kUnavailable,  // try again later: a peer or a file is not there yet
  kTimeout,      // a deadline passed
  kUnsupported,  // the kernel or the peer cannot do it
  kKernel,       // any other failed system call
};

struct Error {
  ErrorCode code = ErrorCode::kKernel;
  int sys_errno = 0;    // 0 where no system call failed
  std::string context;  // "apply policy: update map sl_policy key {...}"

  // "context: No space left on device"
  std::string message() const;
};

// A layer adds what it was doing in front of what failed below: within("attach uplink eth0",
// error).
Error within(std::string_view doing, Error error);
// An error of the calling thread's errno (or of `sys_errno`), its code taken from it.
Error from_errno(std::string context);
Error from_errno(std::string context, int sys_errno);

template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Status = Result<void>;

inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}
inline tl::unexpected<Error> fail(ErrorCode code, std::string context) {
  return tl::unexpected<Error>(Error{.code = code, .sys_errno = 0, .context = std::move(context)});
}

// "invalid", "not-found", ... for machines.
std::string_view name(ErrorCode code);

}  // namespace sluice
