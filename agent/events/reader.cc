// SPDX-License-Identifier: Apache-2.0
#include "agent/events/reader.h"

#include <bpf/libbpf.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace sluice {

namespace {

constexpr int kLostPollMs = 1000;
constexpr uint32_t kBatchRecords = 4096;
// After records the reader leaves the ring alone for so long: a waker per record would take the
// processor from the very connections that are reported. The ring holds far more than comes
// meanwhile.
constexpr int kPauseMs = 20;

}  // namespace

void EventReader::RingDeleter::operator()(ring_buffer* ring) const {
  ring_buffer__free(ring);
}

EventReader::EventReader(EventSink sink, std::function<uint64_t()> lost)
    : sink_(std::move(sink)), lost_(std::move(lost)) {}

Result<std::unique_ptr<EventReader>> EventReader::open(int ring_fd, EventSink sink,
                                                       std::function<uint64_t()> lost) {
  auto reader = std::unique_ptr<EventReader>(new EventReader(std::move(sink), std::move(lost)));
  reader->wake_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!reader->wake_.valid()) return fail(from_errno("read events: eventfd"));
  // libbpf keeps the address of the reader, which therefore lives on the heap.
  reader->ring_.reset(
      ring_buffer__new(ring_fd, &EventReader::handle_record, reader.get(), nullptr));
  if (!reader->ring_) return fail(from_errno("read events: map the ring buffer"));
  if (reader->lost_) reader->lost_base_ = reader->lost_();
  EventReader* self = reader.get();
  reader->thread_ = std::jthread([self](const std::stop_token& stop) { self->run(stop); });
  return reader;
}

EventReader::~EventReader() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

int EventReader::handle_record(void* self, void* data, size_t size) {
  auto* reader = static_cast<EventReader*>(self);
  const DecodedEvent decoded = decode_event({static_cast<const std::byte*>(data), size});
  reader->by_outcome_[static_cast<size_t>(decoded.outcome)].fetch_add(1, std::memory_order_relaxed);
  if (decoded.outcome == DecodeOutcome::kEvent) {
    reader->by_kind_[decoded.event.kind].fetch_add(1, std::memory_order_relaxed);
    if (reader->sink_.on_event) reader->sink_.on_event(decoded.event);
  }
  // A negative answer ends the batch: a ring that never empties keeps the thread neither from
  // stopping nor from asking what was lost.
  if (reader->stop_->stop_requested() || ++reader->batch_ >= kBatchRecords) return -ECANCELED;
  return 0;
}

void EventReader::run(const std::stop_token& stop) {
  stop_ = &stop;
  const int wake = wake_.get();
  std::stop_callback wake_up(stop, [wake] {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake, &one, sizeof(one));
  });
  auto next_lost = std::chrono::steady_clock::now() + std::chrono::milliseconds(kLostPollMs);
  while (!stop.stop_requested()) {
    pollfd fds[2] = {{.fd = ring_buffer__epoll_fd(ring_.get()), .events = POLLIN, .revents = 0},
                     {.fd = wake, .events = POLLIN, .revents = 0}};
    const int ready = poll(fds, 2, lost_ ? kLostPollMs : -1);
    if (ready < 0 && errno != EINTR) return;  // only a broken descriptor table gets here
    batch_ = 0;
    if (ready > 0 && (fds[0].revents & POLLIN) != 0) {
      wakes_.fetch_add(1, std::memory_order_relaxed);
      ring_buffer__poll(ring_.get(), 0);
      if (batch_ < kBatchRecords) poll(&fds[1], 1, kPauseMs);
    }
    const auto now = std::chrono::steady_clock::now();
    if (lost_ && now >= next_lost) {
      report_lost();
      next_lost = now + std::chrono::milliseconds(kLostPollMs);
    }
  }
}

void EventReader::report_lost() {
  const uint64_t count = lost_();
  if (count <= lost_base_) {
    lost_base_ = count;  // the map was made anew
    return;
  }
  const uint64_t more = count - lost_base_;
  lost_base_ = count;
  lost_total_.fetch_add(more, std::memory_order_relaxed);
  if (sink_.on_lost) sink_.on_lost(more);
}

EventStats EventReader::stats() const {
  EventStats stats;
  for (size_t i = 0; i < by_kind_.size(); ++i)
    stats.by_kind[i] = by_kind_[i].load(std::memory_order_relaxed);
  for (size_t i = 0; i < by_outcome_.size(); ++i) {
    stats.by_outcome[i] = by_outcome_[i].load(std::memory_order_relaxed);
  }
  stats.lost = lost_total_.load(std::memory_order_relaxed);
  stats.wakes = wakes_.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace sluice
