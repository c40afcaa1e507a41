// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/state_writer.h"

#include <asio/post.hpp>
#include <utility>

namespace sluice {

StateWriter::StateWriter(asio::io_context& loop, Store& store, Done done)
    : loop_(loop),
      store_(store),
      done_(std::make_shared<Done>(std::move(done))),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

StateWriter::~StateWriter() {
  thread_.request_stop();
  thread_.join();
}

uint64_t StateWriter::submit(PodState state) {
  const std::lock_guard lock(mutex_);
  next_ = std::move(state);
  wake_.notify_one();
  return ++submitted_;
}

void StateWriter::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (wake_.wait(lock, stop, [this] { return next_.has_value(); })) {
    const PodState state = std::move(*next_);
    next_.reset();
    const uint64_t number = submitted_;
    lock.unlock();
    const Status replaced = store_.replace(state);
    report(number, replaced);
    // Whoever waits has what a crash of ours cannot take away. A loss of power takes all pods with
    // it; what the last step adds is that their addresses rest after it.
    if (replaced) {
      if (const Status synced = store_.sync_folder(); !synced) report(number, synced);
    }
    lock.lock();
  }
}

void StateWriter::report(uint64_t number, const Status& saved) {
  asio::post(loop_, [done = std::weak_ptr(done_), number, saved] {
    if (const auto alive = done.lock()) (*alive)(number, saved);
  });
}

}  // namespace sluice
