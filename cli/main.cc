// SPDX-License-Identifier: Apache-2.0
// `sluice`: what a person asks of a node. Wires the real terminal, clock and socket to the
// commands.
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <thread>

#include "cli/app.h"

namespace {

size_t terminal_width() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 0;
  return size.ws_col;
}

bool color_allowed() {
  const char* refused = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return (refused == nullptr || *refused == '\0') &&
         (terminal == nullptr || std::string_view(terminal) != "dumb");
}

}  // namespace

int main(int argc, char** argv) {
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  sluice::cli::Session session{
      .out = std::cout,
      .err = std::cerr,
      .options = {.terminal = terminal,
                  .color_allowed = color_allowed(),
                  .width = terminal ? terminal_width() : 0},
      .ask_agent = sluice::cli::ask_agent,
      .unix_ms =
          [] {
            const auto now = std::chrono::system_clock::now().time_since_epoch();
            return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
          },
      .pause =
          [](std::chrono::milliseconds time) {
            std::this_thread::sleep_for(time);
            return true;
          },
      .chosen = nullptr};
  return sluice::cli::run(session, argc, argv);
}
