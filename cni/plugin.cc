// SPDX-License-Identifier: Apache-2.0
#include "cni/plugin.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string_view>

#include "cni/result.h"
#include "lib/boot/boot.h"
#include "lib/fd/fd.h"
#include "lib/frame/frame.h"

namespace sluice::cni_plugin {
namespace {

// The kubelet asks for STATUS every few seconds and waits for it.
constexpr std::chrono::milliseconds kStatusTimeout{2'000};

Failure agent_failure(const std::string& command, const NetConf& conf, const Error& error) {
  if (command == "STATUS") {
    return {.code = cni::v1::CNI_NOT_AVAILABLE,
            .message = "sluice-agent does not answer on " + conf.socket,
            .details = error.message()};
  }
  if (error.code == ErrorCode::kUnavailable) {
    return {
        .code = cni::v1::CNI_TRY_AGAIN_LATER,
        .message =
            "sluice-agent is away: nobody answers on " + conf.socket +
            "; see that the sluice-agent pod or service runs on this node, then it is tried again",
        .details = error.message()};
  }
  if (error.code == ErrorCode::kTimeout) {
    return {.code = cni::v1::CNI_TRY_AGAIN_LATER,
            .message = "sluice-agent did not answer on " + conf.socket + " within " +
                       std::to_string(conf.timeout.count()) +
                       " ms; see its log and `sluice status`",
            .details = error.message()};
  }
  return {.code = cni::v1::CNI_IO_FAILURE,
          .message = "sluice-agent cannot be asked on " + conf.socket,
          .details = error.message()};
}

// The folder for it may be on a disk that is full or read-only; the one beside the socket is in
// memory, and what it loses at a restart of the machine, the restart has done.
Expected<std::string> queue_somewhere(const NetConf& conf, const cni::v1::CniRequest& request,
                                      const Error& unanswered) {
  const std::string spare = conf.socket.substr(0, conf.socket.rfind('/')) + "/cni-queue";
  Failure failure = agent_failure("DEL", conf, unanswered);
  failure.message += "; and the DEL could not be queued";
  for (const std::string& folder : {conf.queue_dir, spare}) {
    const Status queued = queue_del(folder, request);
    if (queued) return std::string();
    failure.message += ": " + queued.error().message();
  }
  return tl::unexpected(std::move(failure));
}

Expected<std::string> ask_agent(const cni::v1::CniRequest& request, const NetConf& conf) {
  const auto deadline =
      request.command() == "STATUS" ? std::min(conf.timeout, kStatusTimeout) : conf.timeout;
  Result<std::string> answer =
      call(conf.socket, kServiceCni, request.SerializeAsString(), deadline);
  if (!answer) {
    if (request.command() != "DEL")
      return tl::unexpected(agent_failure(request.command(), conf, answer.error()));
    return queue_somewhere(conf, request, answer.error());
  }

  cni::v1::CniResponse response;
  if (!response.ParseFromString(*answer)) {
    return tl::unexpected(
        Failure{.code = cni::v1::CNI_DECODE_FAILURE,
                .message = "the answer of sluice-agent on " + conf.socket + " cannot be decoded",
                .details = "sluice-cni and sluice-agent may be of different versions"});
  }
  if (response.error_code() != 0) {
    return tl::unexpected(Failure{.code = response.error_code(),
                                  .message = response.error_message(),
                                  .details = response.error_details()});
  }
  if (request.command() != "ADD") return std::string();
  return add_result(conf, response);
}

Expected<std::string> run_verb(const Environment& environment, const std::string& config) {
  if (auto failure = check_environment(environment)) return tl::unexpected(std::move(*failure));
  if (environment.command == "VERSION") return version_result(version_of(config));
  auto conf = parse_netconf(config);
  if (!conf) return tl::unexpected(conf.error());
  auto request = make_request(environment, *conf);
  if (!request) return tl::unexpected(request.error());
  return ask_agent(*request, *conf);
}

}  // namespace

Status queue_del(const std::string& directory, const cni::v1::CniRequest& request) {
  using std::chrono::duration_cast;
  if (Status made = make_directories(directory); !made) return made;
  // The wall clock names the file, for whoever looks at it; the order of DEL and ADD is told by the
  // other one.
  cni::v1::CniRequest entry = request;
  entry.set_queued_boot_id(boot_id());
  entry.set_queued_boot_ms(since_boot_ms());
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::string name = std::to_string(duration_cast<std::chrono::milliseconds>(now).count()) +
                           "-" + std::to_string(getpid()) + "-" +
                           request.container_id().substr(0, 64) + ".del";
  return write_file(directory + "/" + name, entry.SerializeAsString());
}

Outcome run(const Environment& environment, const std::string& config) {
  auto output = run_verb(environment, config);
  if (output) return {.exit_code = 0, .output = std::move(*output)};
  return {.exit_code = 1, .output = error_result(version_of(config), output.error())};
}

}  // namespace sluice::cni_plugin
