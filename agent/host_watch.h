// SPDX-License-Identifier: Apache-2.0
// The host's network as an input of desired: reads devices, addresses and routes whenever the
// kernel says that something of them changed.
#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <memory>

#include "agent/desired/uplinks.h"
#include "lib/netlink/netlink.h"

namespace sluice {

// Thread: the one that runs `loop`.
class HostWatch {
 public:
  using Take = std::function<void(const HostNetwork&)>;

  // `take` gets the first reading with read(), and another soon after each change.
  static Result<std::unique_ptr<HostWatch>> open(asio::io_context& loop, Take take);
  ~HostWatch();
  HostWatch(const HostWatch&) = delete;
  HostWatch& operator=(const HostWatch&) = delete;

  // Now. Where the kernel does not say all, nothing is taken and the log says why.
  void read();

 private:
  HostWatch(asio::io_context& loop, Netlink host, NetlinkMonitor monitor, Take take);
  void wait();

  Netlink host_;
  NetlinkMonitor monitor_;
  Take take_;
  asio::posix::stream_descriptor readable_;
  asio::steady_timer pause_;
};

}  // namespace sluice
