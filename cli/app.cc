// SPDX-License-Identifier: Apache-2.0
#include "cli/app.h"

#include <cerrno>
#include <cstring>

#include "cli/commands.h"

namespace sluice::cli {

void add_common_options(CLI::App& command, Session& session, bool asks_agent,
                        const std::string& examples) {
  command.add_option("-o,--output", session.options.format, "How to print")
      ->check(CLI::IsMember({"table", "compact", "json"}))
      ->type_name("FORMAT");
  command.add_flag("--no-color", session.options.no_color,
                   "No colours (also: NO_COLOR in the environment)");
  if (asks_agent) {
    command.add_option("--socket", session.options.socket, "The agent's socket")
        ->type_name("PATH")
        ->capture_default_str();
  }
  command.footer("Examples:\n" + examples);
}

std::unique_ptr<CLI::App> make_app(Session& session) {
  auto app = std::make_unique<CLI::App>(
      "Sluice on this node: is it well, who is connected, what passes, what is dropped and why.",
      "sluice");
  app->require_subcommand(1);
  app->set_version_flag("--version", version_line());
  app->get_formatter()->column_width(32);
  app->failure_message(CLI::FailureMessage::simple);
  add_status(*app, session);
  add_endpoint(*app, session);
  add_drops(*app, session);
  add_observe(*app, session);
  add_bpf(*app, session);
  add_check(*app, session);
  add_version(*app, session);
  add_completion(*app, session);
  app->footer(
      "Examples:\n"
      "  sluice status                       healthy, or what is wrong and the next step\n"
      "  sluice drops                        what is being dropped now, and why\n"
      "  sluice observe --pod demo/ --follow  flows of a namespace as they happen\n"
      "\n"
      "Exit codes: 0 well, 1 something is wrong, 2 wrong usage, 3 the agent did not answer.");
  return app;
}

namespace {

// What was printed is worth nothing until somebody has it. A reader that has seen enough (`| head`)
// is no failure.
int finish_output(Session& session, int exit_code) {
  session.out.flush();
  if (session.out.good()) return exit_code;
  // The reason may be long overwritten: one more byte fails for the same.
  session.out.clear();
  errno = 0;
  session.out.put('\n').flush();
  const int why = errno;
  if (why == EPIPE) return exit_code;
  session.err << "sluice: cannot write the output"
              << (why == 0 ? std::string() : ": " + std::string(std::strerror(why))) << '\n';
  return kExitUnhealthy;
}

}  // namespace

int run(Session& session, int argc, const char* const* argv) {
  const std::unique_ptr<CLI::App> app = make_app(session);
  // The parser would say no more than that a command is missing.
  if (argc > 1 && argv[1][0] != '-' &&
      app->get_subcommands([&argv](CLI::App* command) { return command->check_name(argv[1]); })
          .empty()) {
    session.err << "sluice: there is no command \"" << argv[1] << "\"\n  Try: sluice --help\n";
    return kExitUsage;
  }
  if (argc > 1 && argv[1][0] == '-' && app->get_option_no_throw(argv[1]) == nullptr) {
    session.err << "sluice: there is no option \"" << argv[1]
                << "\" before a command\n  Try: sluice --help\n";
    return kExitUsage;
  }
  try {
    app->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app->exit(error, session.out, session.err) == 0 ? kExitOk : kExitUsage;
  }
  return session.chosen ? finish_output(session, session.chosen()) : kExitUsage;
}

}  // namespace sluice::cli
