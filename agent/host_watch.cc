// SPDX-License-Identifier: Apache-2.0
#include "agent/host_watch.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

namespace sluice {

namespace {

constexpr auto kDebounce = std::chrono::milliseconds(20);

}  // namespace

HostWatch::HostWatch(asio::io_context& loop, Netlink host, NetlinkMonitor monitor, Take take)
    : host_(std::move(host)),
      monitor_(std::move(monitor)),
      take_(std::move(take)),
      readable_(loop, monitor_.fd()),
      pause_(loop) {}

HostWatch::~HostWatch() {
  readable_.release();  // the monitor closes it
}

Result<std::unique_ptr<HostWatch>> HostWatch::open(asio::io_context& loop, Take take) {
  auto host = Netlink::open();
  if (!host) return fail(within("open rtnetlink", host.error()));
  auto monitor = NetlinkMonitor::open();
  if (!monitor) return fail(within("watch rtnetlink", monitor.error()));
  std::unique_ptr<HostWatch> watch(
      new HostWatch(loop, std::move(*host), std::move(*monitor), std::move(take)));
  watch->wait();
  return watch;
}

void HostWatch::wait() {
  readable_.async_wait(asio::posix::stream_descriptor::wait_read,
                       [this](const std::error_code& error) {
                         if (error) return;
                         auto changed = monitor_.drain();
                         if (!changed)
                           spdlog::warn("rtnetlink notifications: {}", changed.error().message());
                         if (!changed || *changed) {
                           pause_.expires_after(kDebounce);
                           pause_.async_wait([this](const std::error_code& stopped) {
                             if (!stopped) read();
                           });
                         }
                         wait();
                       });
}

void HostWatch::read() {
  auto links = host_.links();
  auto addresses = host_.addresses();
  auto routes = host_.routes();
  if (!links || !addresses || !routes) {
    const Error& error = !links ? links.error() : !addresses ? addresses.error() : routes.error();
    spdlog::warn("read the host's network: {}", error.message());
    return;
  }
  HostNetwork network;
  network.links = std::move(*links);
  network.addresses = std::move(*addresses);
  network.routes = std::move(*routes);
  take_(network);
}

}  // namespace sluice
