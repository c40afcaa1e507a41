// SPDX-License-Identifier: Apache-2.0
// Bytes of the kernel's ring to checked events: the decoder on real, cut and wrong records; the
// reader on a real ring.
#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "agent/events/decoder.h"
#include "agent/events/reader.h"
#include "bpf/abi/ct.h"
#include "bpf/abi/verdict.h"

namespace sluice {
namespace {

flow_event sample_event(uint8_t kind = EVENT_FLOW_OPEN) {
  flow_event event{};
  event.kind = kind;
  event.version = EVENT_VERSION;
  event.len = sizeof(event);
  event.ifindex = 7;
  event.time_ns = 123456789;
  event.hook = HOOK_POD_EGRESS;
  event.proto = 6;
  event.packets[0] = 5;
  return event;
}

std::span<const std::byte> bytes_of(const flow_event& event) {
  return std::as_bytes(std::span(&event, 1));
}

TEST(EventDecoder, TakesEveryKindAsItIs) {
  for (const uint8_t kind : {EVENT_FLOW_OPEN, EVENT_FLOW_UPDATE, EVENT_FLOW_CLOSE, EVENT_DROP}) {
    flow_event event = sample_event(kind);
    event.reason = kind == EVENT_DROP ? DROP_POLICY_DENY : 0;

    const DecodedEvent decoded = decode_event(bytes_of(event));

    ASSERT_EQ(decoded.outcome, DecodeOutcome::kEvent) << int{kind};
    EXPECT_EQ(std::memcmp(&decoded.event, &event, sizeof(event)), 0);
  }
}

TEST(EventDecoder, RefusesEveryTruncation) {
  const flow_event event = sample_event();
  for (size_t length = 0; length < sizeof(event); ++length) {
    EXPECT_EQ(decode_event(bytes_of(event).first(length)).outcome, DecodeOutcome::kTruncated)
        << length;
  }
}

TEST(EventDecoder, RefusesALengthFieldThatIsTooShortForItsKind) {
  flow_event event = sample_event();
  event.len = sizeof(event) - 1;
  EXPECT_EQ(decode_event(bytes_of(event)).outcome, DecodeOutcome::kTruncated);
}

TEST(EventDecoder, ReadsARecordThatALaterWriterMadeLonger) {
  std::vector<std::byte> bytes(sizeof(flow_event) + 8);
  flow_event event = sample_event();
  event.len = sizeof(event) + 8;
  std::memcpy(bytes.data(), &event, sizeof(event));
  EXPECT_EQ(decode_event(bytes).outcome, DecodeOutcome::kEvent);
}

TEST(EventDecoder, ReadsAtAnyAlignment) {
  std::vector<std::byte> bytes(sizeof(flow_event) + 1);
  const flow_event event = sample_event();
  std::memcpy(bytes.data() + 1, &event, sizeof(event));
  EXPECT_EQ(decode_event(std::span(bytes).subspan(1)).outcome, DecodeOutcome::kEvent);
}

TEST(EventDecoder, SkipsKindsItDoesNotKnowWhateverTheirShape) {
  for (const int kind : {0, int{EVENT_KIND_MAX}, 255}) {
    flow_event event = sample_event(static_cast<uint8_t>(kind));
    event.version = 9;
    EXPECT_EQ(decode_event(bytes_of(event)).outcome, DecodeOutcome::kUnknownKind) << kind;
    EXPECT_EQ(decode_event(bytes_of(event).first(4)).outcome, DecodeOutcome::kUnknownKind) << kind;
  }
}

TEST(EventDecoder, RefusesAnotherVersion) {
  flow_event event = sample_event();
  event.version = EVENT_VERSION + 1;
  EXPECT_EQ(decode_event(bytes_of(event)).outcome, DecodeOutcome::kBadVersion);
}

TEST(EventDecoder, RefusesFieldsThatAreInNoList) {
  struct Row {
    const char* name;
    void (*spoil)(flow_event&);
  };
  const Row rows[] = {
      {"hook", [](flow_event& e) { e.hook = HOOK_MAX; }},
      {"is_reply", [](flow_event& e) { e.is_reply = 2; }},
      {"ct_state", [](flow_event& e) { e.ct_state = CT_STATE_CLOSED + 1; }},
      {"no reason", [](flow_event& e) { e.kind = EVENT_DROP; }},
      {"reason",
       [](flow_event& e) {
         e.kind = EVENT_DROP;
         e.reason = DROP_REASON_MAX;
       }},
  };
  for (const Row& row : rows) {
    flow_event event = sample_event();
    row.spoil(event);
    EXPECT_EQ(decode_event(bytes_of(event)).outcome, DecodeOutcome::kBadField) << row.name;
  }
}

TEST(EventDecoder, NeverLetsAnUnlistedValueThroughRandomBytes) {
  std::mt19937 random(1);
  size_t decoded_events = 0;
  for (int round = 0; round < 200000; ++round) {
    std::vector<std::byte> bytes(random() % 160);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    if (bytes.size() >= 4 && round % 2 == 0) {
      bytes[0] = static_cast<std::byte>(random() % EVENT_KIND_MAX);
      bytes[1] = static_cast<std::byte>(EVENT_VERSION);
      bytes[2] = static_cast<std::byte>(random() % 160);
      bytes[3] = std::byte{0};
    }
    if (bytes.size() >= sizeof(flow_event) && round % 4 == 0) {
      bytes[offsetof(flow_event, hook)] = static_cast<std::byte>(random() % 6);
      bytes[offsetof(flow_event, is_reply)] = static_cast<std::byte>(random() % 3);
      bytes[offsetof(flow_event, ct_state)] = static_cast<std::byte>(random() % 6);
    }
    const DecodedEvent decoded = decode_event(bytes);
    if (decoded.outcome != DecodeOutcome::kEvent) continue;
    ++decoded_events;
    ASSERT_LT(decoded.event.kind, EVENT_KIND_MAX);
    ASSERT_LT(decoded.event.hook, HOOK_MAX);
    ASSERT_LE(decoded.event.ct_state, CT_STATE_CLOSED);
  }
  EXPECT_GT(decoded_events, 100U);
}

// A real ring buffer and a program that copies the content of an array map into it: what the data
// plane does, made small. Needs the right to load programs; a test without it is skipped.
class KernelRing {
 public:
  bool open(uint32_t record_bytes) {
    ring_ = Fd(bpf_map_create(BPF_MAP_TYPE_RINGBUF, "t_ring", 0, 0, 1 << 16, nullptr));
    source_ = Fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "t_source", 4, 256, 1, nullptr));
    if (!ring_.valid() || !source_.valid()) return false;
    const auto ld_map = [](uint8_t reg, uint8_t pseudo, int fd) {
      return bpf_insn{.code = BPF_LD | BPF_DW | BPF_IMM,
                      .dst_reg = uint8_t(reg & 15),
                      .src_reg = uint8_t(pseudo & 15),
                      .off = 0,
                      .imm = fd};
    };
    const bpf_insn none{.code = 0, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0};
    const auto mov = [](uint8_t reg, int value) {
      return bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K,
                      .dst_reg = uint8_t(reg & 15),
                      .src_reg = 0,
                      .off = 0,
                      .imm = value};
    };
    const std::vector<bpf_insn> program = {
        ld_map(1, BPF_PSEUDO_MAP_FD, ring_.get()),
        none,
        ld_map(2, BPF_PSEUDO_MAP_VALUE, source_.get()),
        none,
        mov(3, static_cast<int>(record_bytes)),
        mov(4, 0),
        {.code = BPF_JMP | BPF_CALL,
         .dst_reg = 0,
         .src_reg = 0,
         .off = 0,
         .imm = BPF_FUNC_ringbuf_output},
        mov(0, 0),
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    program_ = Fd(bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "t_fill", "GPL", program.data(),
                                program.size(), nullptr));
    return program_.valid();
  }

  void send(const flow_event& event) {
    uint8_t value[256] = {};
    std::memcpy(value, &event, sizeof(event));
    const uint32_t zero = 0;
    ASSERT_EQ(bpf_map_update_elem(source_.get(), &zero, value, BPF_ANY), 0);
    uint8_t packet[64] = {};
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet),
                .repeat = 1);
    ASSERT_EQ(bpf_prog_test_run_opts(program_.get(), &run), 0);
  }

  int fd() const { return ring_.get(); }

 private:
  Fd ring_;
  Fd source_;
  Fd program_;
};

// Collects what the reader hands on and lets a test wait for it.
class Collector {
 public:
  EventSink sink() {
    return {.on_event =
                [this](const flow_event& event) {
                  const std::scoped_lock lock(mutex_);
                  events_.push_back(event);
                  changed_.notify_all();
                },
            .on_lost =
                [this](uint64_t count) {
                  const std::scoped_lock lock(mutex_);
                  lost_ += count;
                  changed_.notify_all();
                }};
  }
  std::vector<flow_event> wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return events_.size() >= count; });
    return events_;
  }
  uint64_t wait_for_lost(uint64_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return lost_ >= count; });
    return lost_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<flow_event> events_;
  uint64_t lost_ = 0;
};

TEST(EventReader, HandsOnWhatTheKernelWroteInOrder) {
  KernelRing ring;
  if (!ring.open(sizeof(flow_event)))
    GTEST_SKIP() << "no right to load programs: " << std::strerror(errno);
  Collector collector;
  auto reader = EventReader::open(ring.fd(), collector.sink());
  ASSERT_TRUE(reader) << reader.error().message();

  for (uint32_t i = 0; i < 300; ++i) {
    flow_event event = sample_event();
    event.ifindex = i;
    ring.send(event);
  }

  const auto events = collector.wait_for(300);
  ASSERT_EQ(events.size(), 300U);
  for (uint32_t i = 0; i < 300; ++i) EXPECT_EQ(events[i].ifindex, i);
  EXPECT_EQ((*reader)->stats().by_kind[EVENT_FLOW_OPEN], 300U);
}

TEST(EventReader, CountsRecordsThatItCannotUseAndGoesOn) {
  KernelRing ring;
  if (!ring.open(sizeof(flow_event))) GTEST_SKIP() << "no right to load programs";
  Collector collector;
  auto reader = EventReader::open(ring.fd(), collector.sink());
  ASSERT_TRUE(reader);

  flow_event wrong = sample_event(200);
  ring.send(wrong);
  wrong = sample_event();
  wrong.version = 77;
  ring.send(wrong);
  ring.send(sample_event(EVENT_FLOW_CLOSE));

  ASSERT_EQ(collector.wait_for(1).size(), 1U);
  const EventStats stats = (*reader)->stats();
  EXPECT_EQ(stats.by_outcome[static_cast<size_t>(DecodeOutcome::kUnknownKind)], 1U);
  EXPECT_EQ(stats.by_outcome[static_cast<size_t>(DecodeOutcome::kBadVersion)], 1U);
  EXPECT_EQ(stats.by_kind[EVENT_FLOW_CLOSE], 1U);
}

TEST(EventReader, ReportsOnlyWhatTheKernelLostSinceItStarted) {
  KernelRing ring;
  if (!ring.open(sizeof(flow_event))) GTEST_SKIP() << "no right to load programs";
  Collector collector;
  std::atomic<uint64_t> kernel_count{1000};
  auto reader = EventReader::open(ring.fd(), collector.sink(), [&] { return kernel_count.load(); });
  ASSERT_TRUE(reader);

  kernel_count = 1042;

  EXPECT_EQ(collector.wait_for_lost(42), 42U);
  EXPECT_EQ((*reader)->stats().lost, 42U);
}

TEST(EventReader, WakesByTimeAndNotByRecord) {
  KernelRing ring;
  if (!ring.open(sizeof(flow_event))) GTEST_SKIP() << "no right to load programs";
  Collector collector;
  auto reader = EventReader::open(ring.fd(), collector.sink());
  ASSERT_TRUE(reader);

  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 400; ++i) {
    ring.send(sample_event());
    std::this_thread::yield();  // a reader that can wake does
  }
  ASSERT_EQ(collector.wait_for(400).size(), 400U);

  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_LE((*reader)->stats().wakes,
            static_cast<uint64_t>(took / std::chrono::milliseconds(20)) + 2);
}

TEST(EventReader, StopsWhileNothingComes) {
  KernelRing ring;
  if (!ring.open(sizeof(flow_event))) GTEST_SKIP() << "no right to load programs";
  for (int round = 0; round < 50; ++round) {
    auto reader = EventReader::open(ring.fd(), {});
    ASSERT_TRUE(reader);
  }
}

TEST(EventReader, SaysWhenTheDescriptorIsNoRing) {
  const auto reader = EventReader::open(STDIN_FILENO, {});
  ASSERT_FALSE(reader);
  EXPECT_THAT(reader.error().message(), ::testing::HasSubstr("ring buffer"));
}

}  // namespace
}  // namespace sluice
