// SPDX-License-Identifier: Apache-2.0
// The load of the data plane's benchmarks: one server, and clients that stream, ask and answer, or
// connect anew each time.
//
//   netload server PORT                                   serves until killed
//   netload stream|rr|crr ADDRESS PORT SECONDS CONNECTIONS   prints one JSON object
//
// Wire: the client's first byte says what the connection is for: 's' the server only reads; 'r' it
// returns each byte.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kEvents = 256;
constexpr size_t kStreamBytes = 128 * 1024;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "netload: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

int tcp_socket(int family) {
  const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

sockaddr_in6 target(const char* address, uint16_t port) {
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(port);
  in_addr v4{};
  if (inet_pton(AF_INET, address, &v4) == 1) {
    to.sin6_addr.s6_addr[10] = to.sin6_addr.s6_addr[11] = 0xff;
    std::memcpy(&to.sin6_addr.s6_addr[12], &v4, sizeof(v4));
  } else if (inet_pton(AF_INET6, address, &to.sin6_addr) != 1) {
    errno = EINVAL;
    die(std::string("address ") + address);
  }
  return to;
}

int connect_to(const sockaddr_in6& to) {
  const int fd = tcp_socket(AF_INET6);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) die("connect");
  return fd;
}

void watch(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

// --- server ---

// True while the connection lives. `mode`: 0 until its first byte came.
bool serve_one(int fd, char& mode, std::vector<char>& buffer) {
  const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
  if (got <= 0) return false;
  ssize_t from = 0;
  if (mode == 0) {
    mode = buffer[0];
    from = 1;
  }
  if (mode == 'r' && got > from) {
    return send(fd, buffer.data() + from, static_cast<size_t>(got - from), MSG_NOSIGNAL) > 0;
  }
  return true;
}

void serve(uint16_t port) {
  const int listener = tcp_socket(AF_INET6);
  const int on = 1;
  const int off = 0;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_port = htons(port);
  if (bind(listener, reinterpret_cast<sockaddr*>(&any), sizeof(any)) != 0) die("bind");
  if (listen(listener, 4096) != 0) die("listen");
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  watch(epoll, listener);
  std::unordered_map<int, char> modes;
  std::vector<char> buffer(1 << 20);
  std::array<epoll_event, kEvents> events{};
  for (;;) {
    const int count = epoll_wait(epoll, events.data(), kEvents, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events.at(static_cast<size_t>(i)).data.fd;
      if (fd == listener) {
        const int accepted = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (accepted < 0) continue;
        setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        modes[accepted] = 0;
        watch(epoll, accepted);
      } else if (!serve_one(fd, modes[fd], buffer)) {
        modes.erase(fd);
        close(fd);
      }
    }
  }
}

// --- clients ---

struct Outcome {
  double per_second = 0;  // bytes or transactions
  std::vector<double> latencies_us;
};

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

Outcome stream(const sockaddr_in6& to, double seconds, int connections) {
  std::vector<int> fds;
  for (int i = 0; i < connections; ++i) fds.push_back(connect_to(to));
  std::vector<char> block(kStreamBytes, 's');
  uint64_t bytes = 0;
  const auto begin = Clock::now();
  while (seconds_since(begin) < seconds) {
    for (const int fd : fds) {
      const ssize_t sent = send(fd, block.data(), block.size(), MSG_NOSIGNAL);
      if (sent < 0) die("send");
      bytes += static_cast<uint64_t>(sent);
    }
  }
  return {.per_second = static_cast<double>(bytes) / seconds_since(begin), .latencies_us = {}};
}

Outcome request_response(const sockaddr_in6& to, double seconds, int connections) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::unordered_map<int, Clock::time_point> sent_at;
  for (int i = 0; i < connections; ++i) {
    const int fd = connect_to(to);
    watch(epoll, fd);
    sent_at[fd] = Clock::now();
    if (send(fd, "rx", 2, MSG_NOSIGNAL) != 2) die("send");
  }
  Outcome outcome;
  outcome.latencies_us.reserve(1 << 20);
  std::array<epoll_event, kEvents> events{};
  char byte = 0;
  const auto begin = Clock::now();
  while (seconds_since(begin) < seconds) {
    const int count = epoll_wait(epoll, events.data(), kEvents, 1000);
    for (int i = 0; i < count; ++i) {
      const int fd = events.at(static_cast<size_t>(i)).data.fd;
      if (recv(fd, &byte, 1, 0) != 1) die("recv");
      auto& since = sent_at[fd];
      const auto now = Clock::now();
      outcome.latencies_us.push_back(
          std::chrono::duration<double, std::micro>(now - since).count());
      since = now;
      if (send(fd, "x", 1, MSG_NOSIGNAL) != 1) die("send");
    }
  }
  outcome.per_second = static_cast<double>(outcome.latencies_us.size()) / seconds_since(begin);
  return outcome;
}

// One connection after another; closed by reset, so that no port waits.
Outcome connect_request(const sockaddr_in6& to, double seconds) {
  Outcome outcome;
  const linger reset{.l_onoff = 1, .l_linger = 0};
  char byte = 0;
  const auto begin = Clock::now();
  while (seconds_since(begin) < seconds) {
    const auto one = Clock::now();
    const int fd = connect_to(to);
    if (send(fd, "rx", 2, MSG_NOSIGNAL) != 2 || recv(fd, &byte, 1, 0) != 1) die("request");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    outcome.latencies_us.push_back(
        std::chrono::duration<double, std::micro>(Clock::now() - one).count());
  }
  outcome.per_second = static_cast<double>(outcome.latencies_us.size()) / seconds_since(begin);
  return outcome;
}

double percentile(std::vector<double>& values, double fraction) {
  if (values.empty()) return 0;
  const auto at = static_cast<ptrdiff_t>(static_cast<double>(values.size() - 1) * fraction);
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<size_t>(at)];
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "server") {
    serve(static_cast<uint16_t>(std::atoi(argv[2])));
    return 0;
  }
  if (argc != 6) {
    std::fprintf(
        stderr,
        "usage: netload server PORT | netload stream|rr|crr ADDRESS PORT SECONDS CONNECTIONS\n");
    return 2;
  }
  const std::string_view mode = argv[1];
  const sockaddr_in6 to = target(argv[2], static_cast<uint16_t>(std::atoi(argv[3])));
  const double seconds = std::atof(argv[4]);
  const int connections = std::atoi(argv[5]);
  Outcome outcome;
  if (mode == "stream") {
    outcome = stream(to, seconds, connections);
  } else if (mode == "rr") {
    outcome = request_response(to, seconds, connections);
  } else if (mode == "crr") {
    outcome = connect_request(to, seconds);
  } else {
    std::fprintf(stderr, "netload: unknown mode %s\n", argv[1]);
    return 2;
  }
  std::printf("{\"per_second\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"cpu_s\": %.2f}\n",
              outcome.per_second, percentile(outcome.latencies_us, 0.50),
              percentile(outcome.latencies_us, 0.99), cpu_seconds());
  return 0;
}
