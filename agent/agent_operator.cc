// SPDX-License-Identifier: Apache-2.0
// The agent of a cluster: its intent comes by the control stream, and what became of it goes back.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <random>
#include <utility>

#include "agent/agent.h"
#include "version.h"

namespace sluice {

namespace {

Random random_source() {
  return [engine = std::make_shared<std::mt19937_64>(std::random_device{}())] {
    return std::uniform_real_distribution<double>(0, 1)(*engine);
  };
}

// What could not be applied, by the object that the operator knows: the pod whose device it is.
ObjectFault fault_of(const ObjectError& error, const std::vector<LocalEndpoint>& endpoints) {
  ObjectFault fault{.message = error.object + ": " + error.error.message()};
  const auto pod = std::find_if(endpoints.begin(), endpoints.end(), [&](const LocalEndpoint& each) {
    return error.ifindex != 0 && each.ifindex == error.ifindex && !each.pod_name.empty();
  });
  if (pod == endpoints.end()) return fault;
  fault.kind = "Pod";
  fault.namespace_name = pod->pod_namespace;
  fault.name = pod->pod_name;
  return fault;
}

}  // namespace

Status Agent::open_operator() {
  const OperatorAccess& access = config_.operator_access;
  conditions_.set("operator", false, "no operator has been reached yet");
  StreamSettings settings;
  settings.operators = access.addresses;
  settings.node_name = config_.node.node_name;
  settings.build = {.version = SLUICE_VERSION, .commit = SLUICE_COMMIT};
  settings.authorities_file = access.authorities_file;
  settings.token_file = access.token_file;
  StreamHooks hooks;
  hooks.on_intent = [this](const IntentDelta& delta, const std::vector<SourceProblem>& problems) {
    take_intent(delta, problems);
  };
  hooks.on_state = [this](const StreamState& state) {
    conditions_.set("operator", state.connected, state.error);
    tell_operator();
  };
  hooks.random = random_source();
  // A copy: taking it as intent changes what is left of the file.
  const std::optional<Intent> last = last_intent_->last();
  auto stream = StreamSource::open(loop_, std::move(settings), last, std::move(hooks));
  if (!stream) return fail(stream.error());
  stream_ = std::move(*stream);
  return {};
}

// A revision counts as taken once the node as a whole works with it; what fails of single objects
// goes along.
void Agent::acknowledge(const ApplyReport& report) {
  if (!stream_) return;
  std::vector<ObjectFault> faults;
  for (const auto& error : report.errors)
    faults.push_back(fault_of(error, state_->desired().endpoints));
  if (!node_failure_) stream_->applied(compiled_intent_, std::move(faults));
  tell_operator();
}

void Agent::tell_operator() {
  if (!stream_) return;
  const auto reason = not_ready();
  ToldOperator now{.ready = !reason, .not_ready = reason.value_or(""), .failing = failing()};
  // Whoever reads it has a stream to us.
  std::erase_if(now.failing, [](const auto& line) { return line.starts_with("operator:"); });
  if (told_ == now) return;
  told_ = std::move(now);
  stream_->report(told_->ready, told_->not_ready, told_->failing);
}

}  // namespace sluice
