// SPDX-License-Identifier: Apache-2.0
// sluice-cni: what the container runtime executes. Environment and stdin in, one JSON object on
// stdout out.
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cni/plugin.h"
#include "cni/result.h"
#include "version.h"

namespace {

constexpr size_t kConfigMaxBytes = 16U << 20;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

bool read_all(int fd, std::string& text) {
  char chunk[16384];
  while (text.size() <= kConfigMaxBytes) {
    const ssize_t got = read(fd, chunk, sizeof(chunk));
    if (got == 0) return true;
    if (got > 0) text.append(chunk, static_cast<size_t>(got));
    if (got < 0 && errno != EINTR) return false;
  }
  return false;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written > 0) text.remove_prefix(static_cast<size_t>(written));
    if (written < 0 && errno != EINTR) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  namespace cni_plugin = sluice::cni_plugin;
  if (argc > 1 && std::string_view(argv[1]) == "--version") {
    return write_all(STDOUT_FILENO, "sluice-cni " SLUICE_VERSION " (" SLUICE_COMMIT ")\n") ? 0 : 1;
  }
  const cni_plugin::Environment environment{.command = variable("CNI_COMMAND"),
                                            .container_id = variable("CNI_CONTAINERID"),
                                            .netns = variable("CNI_NETNS"),
                                            .ifname = variable("CNI_IFNAME"),
                                            .args = variable("CNI_ARGS")};
  std::string config;
  if (!environment.command.empty() && !read_all(STDIN_FILENO, config)) {
    const cni_plugin::Failure failure{
        .code = sluice::cni::v1::CNI_IO_FAILURE,
        .message = "stdin: the network configuration cannot be read or passes 16 MiB",
        .details = {}};
    write_all(STDOUT_FILENO, cni_plugin::error_result("", failure));
    return 1;
  }
  const cni_plugin::Outcome outcome = cni_plugin::run(environment, config);
  return write_all(STDOUT_FILENO, outcome.output) ? outcome.exit_code : 1;
}
