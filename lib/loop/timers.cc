// SPDX-License-Identifier: Apache-2.0
// Timers on an asio loop.
#include "lib/loop/timers.h"

#include <utility>

namespace sluice {

TimerId LoopTimers::after(std::chrono::milliseconds delay, std::function<void()> call) {
  const TimerId id = ++last_;
  auto& pending = pending_->emplace(id, Pending{asio::steady_timer(loop_, delay), std::move(call)})
                      .first->second;
  pending.timer.async_wait([weak = std::weak_ptr(pending_), id](const asio::error_code& error) {
    const auto table = weak.lock();
    if (!table || error) return;
    // A timer may be cancelled when its end is queued already: the table is what counts.
    auto found = table->extract(id);
    if (!found.empty()) found.mapped().call();
  });
  return id;
}

}  // namespace sluice
