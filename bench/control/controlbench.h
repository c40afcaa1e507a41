// SPDX-License-Identifier: Apache-2.0
// The two halves of the control stream's bench, each a process of its own: one operator, and many
// agents.
#pragma once

#include <sys/resource.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <string>

#include "operator/stream/identity.h"

namespace sluice::bench {

struct Settings {
  std::string folder{};  // where certificate authorities are handed over
  std::string address{};
  size_t agents = 1000;
  size_t first = 0;  // agents: of these nodes
  size_t pods = 50'000;
  size_t changes_per_second = 100;
  size_t seconds = 20;
};

int run_operator(const Settings& settings);
int run_agents(const Settings& settings);

// Thousands of agents share a core or two here: one that waits for its turn is not gone.
inline constexpr std::chrono::milliseconds kKeepalive{120'000};

inline std::string node_name(size_t index) {
  return "node-" + std::to_string(index);
}

// The token names its node: what an API server would say of it costs nothing here.
inline constexpr const char* kTokenStart = "token-of-";

inline double resident_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kilobytes = 0;
    if (word == "VmRSS:" && status >> kilobytes) return kilobytes / 1024;
  }
  return 0;
}

inline double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// A descriptor for each agent.
inline void raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace sluice::bench
