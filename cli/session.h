// SPDX-License-Identifier: Apache-2.0
// What every command is given: where to print, how, and how to ask the agent.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>

#include "admin/v1/admin.pb.h"
#include "cli/table.h"
#include "lib/result/result.h"

namespace sluice::cli {

// Exit codes of `sluice`.
inline constexpr int kExitOk = 0;
inline constexpr int kExitUnhealthy =
    1;  // the command worked and found something wrong, or the agent refused
inline constexpr int kExitUsage = 2;        // flags or arguments
inline constexpr int kExitUnreachable = 3;  // no agent, or no observer, answered

inline constexpr const char* kDefaultSocket = "/run/sluice/agent.sock";
inline constexpr const char* kDefaultObserver = "unix:///run/sluice/observer.sock";

enum class Format : uint8_t { kTable, kCompact, kJson };

// Set by flags and by where the output goes.
struct Options {
  std::string socket = kDefaultSocket;
  std::string format{};  // empty: the command's usual one
  bool no_color = false;
  bool terminal = false;  // output is a terminal
  bool color_allowed = false;
  size_t width = 0;  // of the terminal, cells; 0: not one

  Format output(Format usual = Format::kTable) const;
  bool color() const { return terminal && color_allowed && !no_color; }
  TableLook look() const;
};

using AskAgent = std::function<Result<admin::v1::AdminResponse>(const std::string& socket,
                                                                const admin::v1::AdminRequest&)>;

struct Session {
  std::ostream& out;
  std::ostream& err;
  Options options;
  AskAgent ask_agent;
  std::function<int64_t()> unix_ms;
  // Waits between two refreshes; false ends a live view.
  std::function<bool(std::chrono::milliseconds)> pause;
  // Set by the parser: the command that the user chose. Returns the exit code.
  std::function<int()> chosen;
};

// One request to the agent over its socket, with a deadline of 10 s.
Result<admin::v1::AdminResponse> ask_agent(const std::string& socket,
                                           const admin::v1::AdminRequest& request);

// Says on err why there is no answer and what to try. Returns the exit code.
int report_failure(Session& session, const Error& error);

// One request, with its failure reported; the answer's own `error` is one too. False: `exit_code`
// is set.
bool ask(Session& session, const admin::v1::AdminRequest& request,
         admin::v1::AdminResponse& response, int& exit_code);

// The message as one line of JSON, field names as in the .proto, fields that are zero included.
void print_json(std::ostream& out, const google::protobuf::Message& message);

}  // namespace sluice::cli
