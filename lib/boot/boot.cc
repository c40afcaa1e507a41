// SPDX-License-Identifier: Apache-2.0
#include "lib/boot/boot.h"

#include <ctime>

#include "lib/fd/fd.h"

namespace sluice {

int64_t since_boot_ms() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

std::string boot_id() {
  const Result<std::string> text = read_file("/proc/sys/kernel/random/boot_id");
  return text ? text->substr(0, text->find('\n')) : std::string();
}

}  // namespace sluice
