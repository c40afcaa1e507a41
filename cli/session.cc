// SPDX-License-Identifier: Apache-2.0
#include "cli/session.h"

#include <google/protobuf/util/json_util.h>

#include <cstring>
#include <utility>

#include "lib/frame/frame.h"

namespace sluice::cli {

namespace {

constexpr std::chrono::milliseconds kDeadline{10000};

// What to do next, by what failed.
std::string next_step(const Error& error, const std::string& socket) {
  if (error.code == ErrorCode::kPermission) {
    return "The socket is root's. Try: sudo sluice ...";
  }
  if (error.code == ErrorCode::kTimeout) {
    return "The agent accepted the request but did not answer in time. Try: again, then the "
           "agent's log (journalctl -u sluice-agent, or kubectl -n kube-system logs "
           "ds/sluice-agent).";
  }
  if (socket != kDefaultSocket) {
    return "Is sluice-agent running with this socket? Try: sluice --socket " +
           std::string(kDefaultSocket) + " ...";
  }
  return "Is sluice-agent running? Try: systemctl status sluice-agent, or kubectl -n kube-system "
         "get pods -o wide | grep sluice-agent; sluice check works without it.";
}

}  // namespace

Format Options::output(Format usual) const {
  if (format == "json") return Format::kJson;
  if (format == "compact") return Format::kCompact;
  return format == "table" ? Format::kTable : usual;
}

TableLook Options::look() const {
  return {.color = color(), .width = width, .compact = output() == Format::kCompact};
}

Result<admin::v1::AdminResponse> ask_agent(const std::string& socket,
                                           const admin::v1::AdminRequest& request) {
  const Result<std::string> answer =
      call(socket, kServiceAdmin, request.SerializeAsString(), kDeadline);
  if (!answer) return fail(answer.error());
  admin::v1::AdminResponse response;
  if (!response.ParseFromString(*answer)) {
    return fail(ErrorCode::kUnsupported, "its answer of " + std::to_string(answer->size()) +
                                             " bytes is not an AdminResponse (another version?)");
  }
  return response;
}

int report_failure(Session& session, const Error& error) {
  const std::string& socket = session.options.socket;
  // The layers below name the socket as well; said once is enough.
  const std::string why =
      error.sys_errno != 0 ? std::string(std::strerror(error.sys_errno)) : error.context;
  session.err << styled("sluice: cannot reach the agent at " + socket + ": " + why, Style::kBad,
                        session.options.color())
              << "\n  " << next_step(error, socket) << '\n';
  return kExitUnreachable;
}

bool ask(Session& session, const admin::v1::AdminRequest& request,
         admin::v1::AdminResponse& response, int& exit_code) {
  Result<admin::v1::AdminResponse> answer = session.ask_agent(session.options.socket, request);
  if (!answer) {
    exit_code = report_failure(session, answer.error());
    return false;
  }
  if (!answer->error().empty()) {
    session.err << "sluice: the agent answered: " << answer->error() << '\n';
    exit_code = kExitUnhealthy;
    return false;
  }
  response = std::move(*answer);
  return true;
}

void print_json(std::ostream& out, const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  // Only a malformed Any or Timestamp can fail; the reader must see that a line is missing.
  if (!status.ok()) text = R"({"error":"a message could not be written as JSON"})";
  out << text << '\n';
}

}  // namespace sluice::cli
