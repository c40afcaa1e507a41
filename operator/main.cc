// SPDX-License-Identifier: Apache-2.0
// sluice-operator: reads its settings, runs the loop until told to stop.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>

#include "operator/operator.h"
#include "version.h"

namespace sluice {

namespace {

// 2: the settings are wrong; 1: the operator could not run, or could not go on.
constexpr int kExitUsage = 2;
// To give the Lease up: less than a pod is given to end.
constexpr std::chrono::seconds kFarewell{5};

std::string hostname() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string{};
}

int fail_with(const Error& error, int code) {
  std::cerr << "sluice-operator: " << error.message() << "\n";
  return code;
}

int run(const OperatorConfig& config) {
  asio::io_context loop(1);
  int code = EXIT_SUCCESS;
  spdlog::info("sluice-operator {} ({}), replica {}", SLUICE_VERSION, SLUICE_COMMIT,
               config.identity);
  auto made = Operator::start(loop, config, [&](const Error& error) {
    code = fail_with(error, EXIT_FAILURE);
    loop.stop();
  });
  if (!made) {
    const ErrorCode why = made.error().code;
    const bool usage = why == ErrorCode::kInvalid || why == ErrorCode::kNotFound;
    return fail_with(made.error(), usage ? kExitUsage : EXIT_FAILURE);
  }
  asio::signal_set signals(loop, SIGTERM, SIGINT);
  asio::steady_timer patience(loop);
  signals.async_wait([&](const std::error_code& error, int number) {
    if (error) return;
    spdlog::info("signal {}: stopping; agents go on with what they hold", number);
    patience.expires_after(kFarewell);
    patience.async_wait([&loop](const std::error_code& cancelled) {
      if (!cancelled) loop.stop();
    });
    (*made)->stop([&loop] { loop.stop(); });
  });
  loop.run();
  return code;
}

int start(int argc, char** argv) {
  CLI::App app{
      "The operator of a Sluice cluster: reads the Kubernetes API, tells each node's agent what "
      "it\n"
      "has to know. Several replicas serve agents; one of them, by a Lease, does what must be "
      "single."};
  app.footer(
      "Examples:\n"
      "  sluice-operator                                  in a pod, by its service account\n"
      "  sluice-operator --api-server https://10.0.0.1:6443 --api-server https://10.0.0.2:6443\n"
      "                                                   in a pod before services work\n"
      "  sluice-operator --kubeconfig admin.conf --namespace sluice --listen 192.0.2.1:4250");
  OperatorConfig config;
  config.identity = hostname();
  add_flags(app, config);
  app.set_version_flag(
      "--version", std::string("sluice-operator ") + SLUICE_VERSION + " (" + SLUICE_COMMIT + ")");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kExitUsage;
  }
  if (auto checked = check_config(config); !checked) return fail_with(checked.error(), kExitUsage);
  spdlog::set_level(spdlog::level::from_str(config.log_level));
  return run(config);
}

}  // namespace

}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::start(argc, argv);
}
