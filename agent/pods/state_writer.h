// SPDX-License-Identifier: Apache-2.0
// Saves the pods' state in a thread of its own: a slow disk delays the ADDs that wait for it, and
// nothing else.
#pragma once

#include <asio/io_context.hpp>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "agent/pods/store.h"

namespace sluice {

// Thread: the control loop, all members.
class StateWriter {
 public:
  // All states up to this number are in the file, or could not be saved and why. In the loop.
  using Done = std::function<void(uint64_t number, const Status& saved)>;

  // loop and store must outlive the writer; the store is the writer's alone from now on.
  StateWriter(asio::io_context& loop, Store& store, Done done);
  // Writes what waits.
  ~StateWriter();
  StateWriter(const StateWriter&) = delete;
  StateWriter& operator=(const StateWriter&) = delete;

  // Returns the state's number, ascending. Of several that wait only the newest is written.
  uint64_t submit(PodState state);

 private:
  void run(const std::stop_token& stop);
  void report(uint64_t number, const Status& saved);

  asio::io_context& loop_;
  Store& store_;
  std::shared_ptr<Done> done_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::optional<PodState> next_;  // guarded by mutex_
  uint64_t submitted_ = 0;        // guarded by mutex_
  std::jthread thread_;           // last: it uses the others
};

}  // namespace sluice
