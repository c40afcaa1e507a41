// SPDX-License-Identifier: Apache-2.0
// The clock and the timers of a control loop as an interface, so that a test moves time by hand.
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

namespace sluice {

using TimerId = uint64_t;  // 0: none

class Timers {
 public:
  using Time = std::chrono::steady_clock::time_point;

  virtual ~Timers() = default;
  virtual Time now() const = 0;
  // Calls `call` once, from the loop, never from inside `after`.
  virtual TimerId after(std::chrono::milliseconds delay, std::function<void()> call) = 0;
  // It will not be called. A timer that has fired, and 0, are fine.
  virtual void cancel(TimerId id) = 0;
};

// Thread: the one that runs `loop`. What still waits when it goes is not called.
class LoopTimers final : public Timers {
 public:
  explicit LoopTimers(asio::io_context& loop) : loop_(loop) {}

  Time now() const override { return std::chrono::steady_clock::now(); }
  TimerId after(std::chrono::milliseconds delay, std::function<void()> call) override;
  void cancel(TimerId id) override { pending_->erase(id); }

 private:
  struct Pending {
    asio::steady_timer timer;
    std::function<void()> call;
  };
  using Table = std::map<TimerId, Pending>;

  asio::io_context& loop_;
  TimerId last_ = 0;
  std::shared_ptr<Table> pending_ = std::make_shared<Table>();
};

}  // namespace sluice
