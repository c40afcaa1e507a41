// SPDX-License-Identifier: Apache-2.0
// sluice-agent: reads its settings, runs the control loop until told to stop. `cleanup` takes
// everything of ours off the node.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>

#include "agent/agent.h"
#include "agent/apply/node_lock.h"
#include "agent/apply/preconditions.h"
#include "agent/config/flags.h"
#include "agent/pods/installer.h"
#include "lib/frame/frame.h"
#include "version.h"

namespace sluice {

namespace {

// 2: the settings are wrong; 1: the agent could not run.
constexpr int kExitUsage = 2;

std::string hostname() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string{};
}

int fail_with(const Error& error, int code) {
  std::cerr << "sluice-agent: " << error.message() << "\n";
  return code;
}

Status check_host_ports(const AgentConfig& config) {
  const auto range = read_file("/proc/sys/net/ipv4/ip_local_port_range");
  if (!range) return fail(range.error());
  const auto reserved = read_file("/proc/sys/net/ipv4/ip_local_reserved_ports");
  auto warnings = check_snat_ports(config.node, *range, reserved ? *reserved : std::string{});
  if (!warnings) return fail(warnings.error());
  for (const auto& warning : *warnings) spdlog::warn("{}", warning);
  return {};
}

int run(const AgentConfig& config) {
  if (auto runnable = check_runnable(config); !runnable)
    return fail_with(runnable.error(), kExitUsage);
  if (auto ports = check_host_ports(config); !ports) return fail_with(ports.error(), kExitUsage);
  asio::io_context loop(1);
  asio::signal_set signals(loop, SIGTERM, SIGINT);
  signals.async_wait([&loop](const std::error_code& error, int number) {
    if (error) return;
    spdlog::info("signal {}: stopping; traffic goes on", number);
    loop.stop();
  });
  spdlog::info("sluice-agent {} ({}), layout {}, node {}", SLUICE_VERSION, SLUICE_COMMIT,
               SLUICE_LAYOUT, config.node.node_name);
  auto agent = Agent::start(loop, config);
  if (!agent) return fail_with(agent.error(), EXIT_FAILURE);
  loop.run();
  return EXIT_SUCCESS;
}

// What the agent wrote there, corrupt files that it set aside included; the folder goes when
// nothing else is in it.
Status remove_state(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const auto name = entry.path().filename().string();
    const bool ours = name == "cni-queue" || name == "host-changes" ||
                      name.rfind("pods.json", 0) == 0 || name.rfind("identities.json", 0) == 0 ||
                      name.rfind("intent.json", 0) == 0;
    if (ours &&
        std::filesystem::remove_all(entry.path(), error) == static_cast<std::uintmax_t>(-1)) {
      return fail(from_errno("remove " + entry.path().string(), error.value()));
    }
  }
  if (std::filesystem::is_empty(folder, error) && !error) std::filesystem::remove(folder, error);
  return {};
}

// A killed agent leaves its sockets behind; nobody listens on them any more. DELs may wait there.
Status remove_run_files(const std::string& folder) {
  std::error_code error;
  for (const char* name : {"agent.sock", "agent.sock.new", "observer.sock"}) {
    const std::filesystem::path path = std::filesystem::path(folder) / name;
    if (!std::filesystem::is_socket(path, error)) continue;
    if (!std::filesystem::remove(path, error) && error)
      return fail(from_errno("remove " + path.string(), error.value()));
  }
  if (std::filesystem::remove_all(folder + "/cni-queue", error) == static_cast<std::uintmax_t>(-1))
    return fail(from_errno("remove " + folder + "/cni-queue", error.value()));
  if (std::filesystem::is_empty(folder, error) && !error) std::filesystem::remove(folder, error);
  return {};
}

int clean(const AgentConfig& config) {
  const std::string socket = config.run_dir + "/agent.sock";
  const auto running = call(socket, kServiceAdmin, "", std::chrono::milliseconds(1000));
  if (running || running.error().code != ErrorCode::kUnavailable) {
    std::cerr << "sluice-agent: an agent serves " << socket << " on this node: stop it first\n";
    return EXIT_FAILURE;
  }
  // One with other folders than ours to know. Without a bpffs none can run.
  std::optional<NodeLock> lock;
  if (check_bpffs(config.bpffs)) {
    auto taken = NodeLock::take(config.bpffs);
    if (!taken) return fail_with(taken.error(), EXIT_FAILURE);
    lock.emplace(std::move(*taken));
  }
  int code = EXIT_SUCCESS;
  InstallSettings cni;
  cni.bin_dir = config.cni_bin_dir;
  cni.conf_dir = config.cni_conf_dir;
  DatapathOptions options;
  options.bpffs = config.bpffs;
  options.state_dir = config.state_dir;
  // The network list goes first: no new pod may come while its devices are taken away.
  for (const auto& status : {uninstall_cni(cni), cleanup(options), remove_state(config.state_dir),
                             remove_run_files(config.run_dir)}) {
    if (!status) code = fail_with(status.error(), EXIT_FAILURE);
  }
  if (code == EXIT_SUCCESS) std::cout << "sluice-agent: the node is clean\n";
  return code;
}

int start(int argc, char** argv) {
  CLI::App app{
      "The agent of a Sluice node: connects pods, carries and watches their packets.\n"
      "Settings come from /etc/sluice/agent.yaml and these flags; flags are stronger."};
  app.footer(
      "Examples:\n"
      "  sluice-agent --operator 192.0.2.1:4250,192.0.2.2:4250   a node of a cluster\n"
      "  sluice-agent --standalone /etc/sluice/manifests     one host, manifests instead of a "
      "cluster\n"
      "  sluice-agent config                                  print the settings that would be in "
      "force\n"
      "  sluice-agent cleanup                                 take everything of ours off this "
      "node");
  ConfigSources sources;
  sources.hostname = hostname();
  add_flags(app, sources);
  app.set_version_flag("--version", std::string("sluice-agent ") + SLUICE_VERSION + " (" +
                                        SLUICE_COMMIT + "), layout " +
                                        std::to_string(SLUICE_LAYOUT));
  auto* show =
      app.add_subcommand("config", "Print the settings in force as YAML and exit")->fallthrough();
  auto* remove =
      app.add_subcommand("cleanup",
                         "Remove programs, maps, devices, routes and files of ours; nothing else")
          ->fallthrough();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kExitUsage;
  }
  auto config = load_config(sources);
  if (!config) return fail_with(config.error(), kExitUsage);
  spdlog::set_level(spdlog::level::from_str(config->log_level));
  if (show->parsed()) {
    std::cout << describe(*config);
    return EXIT_SUCCESS;
  }
  if (remove->parsed()) return clean(*config);
  return run(*config);
}

}  // namespace

}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::start(argc, argv);
}
