// SPDX-License-Identifier: Apache-2.0
// Timers of a control loop.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <asio/io_context.hpp>
#include <chrono>
#include <vector>

#include "lib/loop/timers.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

TEST(LoopTimers, CallFromTheLoopWhenTheyAreDue) {
  asio::io_context loop;
  LoopTimers timers(loop);
  std::vector<int> calls;
  const auto begin = timers.now();
  timers.after(milliseconds(20), [&] { calls.push_back(20); });
  timers.after(milliseconds(0), [&] { calls.push_back(0); });
  EXPECT_THAT(calls, ElementsAre());

  loop.run();

  EXPECT_THAT(calls, ElementsAre(0, 20));
  EXPECT_GE(timers.now() - begin, milliseconds(20));
}

TEST(LoopTimers, CancelledIsNotCalledEvenIfItIsDueAlready) {
  asio::io_context loop;
  LoopTimers timers(loop);
  std::vector<int> calls;
  TimerId second = 0;
  timers.after(milliseconds(0), [&] {
    calls.push_back(1);
    timers.cancel(second);
  });
  second = timers.after(milliseconds(0), [&] { calls.push_back(2); });
  timers.cancel(0);

  loop.run();

  EXPECT_THAT(calls, ElementsAre(1));
}

TEST(LoopTimers, OneMayStartTheNextAndForgetItself) {
  asio::io_context loop;
  LoopTimers timers(loop);
  std::vector<int> calls;
  TimerId first = 0;
  first = timers.after(milliseconds(0), [&] {
    timers.cancel(first);
    calls.push_back(1);
    timers.after(milliseconds(0), [&] { calls.push_back(2); });
  });

  loop.run();

  EXPECT_THAT(calls, ElementsAre(1, 2));
}

TEST(LoopTimers, WhatStillWaitsWhenTheyGoIsNotCalled) {
  asio::io_context loop;
  bool called = false;
  {
    LoopTimers timers(loop);
    timers.after(milliseconds(0), [&] { called = true; });
  }

  loop.run();

  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace sluice
