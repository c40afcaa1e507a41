// SPDX-License-Identifier: Apache-2.0
// Takes records off the ring sl_events on a thread of its own, decodes them and hands them on.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <thread>

#include "agent/events/decoder.h"
#include "lib/fd/fd.h"
#include "lib/result/result.h"

struct ring_buffer;

namespace sluice {

// Where decoded events go. Both are called on the reader's thread and must not block: the ring
// fills meanwhile.
struct EventSink {
  std::function<void(const flow_event&)> on_event;
  std::function<void(uint64_t count)>
      on_lost;  // records that the kernel had no room for since the last call
};

struct EventStats {
  std::array<uint64_t, EVENT_KIND_MAX> by_kind{};      // decoded, index enum event_kind
  std::array<uint64_t, kDecodeOutcomes> by_outcome{};  // all records, index DecodeOutcome
  uint64_t lost = 0;   // what `lost` reported since the reader started
  uint64_t wakes = 0;  // times that the thread woke for records: few, however many they are
};

class EventReader {
 public:
  // Starts reading. ring_fd: of the BPF_MAP_TYPE_RINGBUF; used, not owned, must outlive the reader.
  // lost: the kernel's own count of records that found the ring full, growing; asked about once a
  // second; may be empty. Errors: the ring cannot be mapped (not a ring buffer, permission).
  static Result<std::unique_ptr<EventReader>> open(int ring_fd, EventSink sink,
                                                   std::function<uint64_t()> lost = {});
  ~EventReader();  // stops and joins; what is still in the ring stays there
  EventReader(const EventReader&) = delete;
  EventReader& operator=(const EventReader&) = delete;

  EventStats stats() const;  // any thread

 private:
  struct RingDeleter {
    void operator()(ring_buffer* ring) const;
  };

  EventReader(EventSink sink, std::function<uint64_t()> lost);
  static int handle_record(void* self, void* data, size_t size);
  void run(const std::stop_token& stop);
  void report_lost();

  EventSink sink_;
  std::function<uint64_t()> lost_;
  Fd wake_;  // eventfd: the stop request
  std::unique_ptr<ring_buffer, RingDeleter> ring_;
  std::array<std::atomic<uint64_t>, EVENT_KIND_MAX> by_kind_{};
  std::array<std::atomic<uint64_t>, kDecodeOutcomes> by_outcome_{};
  // Reader's thread only:
  uint64_t lost_base_ = 0;  // kernel's count at the last report
  uint32_t batch_ = 0;      // records since the last look at the clock
  const std::stop_token* stop_ = nullptr;
  std::atomic<uint64_t> lost_total_{0};
  std::atomic<uint64_t> wakes_{0};
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace sluice
