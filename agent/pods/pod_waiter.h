// SPDX-License-Identifier: Apache-2.0
// An ADD whose devices are made and that waits for the kernel's rows and for the state file before
// it is answered.
#pragma once

#include <asio/steady_timer.hpp>
#include <cstdint>

#include "agent/pods/pod_service.h"

namespace sluice {

struct PodService::Waiter {
  Waiter(asio::io_context& loop, EndpointKey of, Reply answer)
      : key(std::move(of)), reply(std::move(answer)), timer(loop) {}

  EndpointKey key;
  Reply reply;
  uint64_t revision = 0;
  uint64_t save = 0;  // number of the state that has to be in the file
  asio::steady_timer timer;
};

}  // namespace sluice
