// SPDX-License-Identifier: Apache-2.0
// Operators and agents of the control stream in one process: the real servers and clients over
// loopback, with real certificates.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <grpcpp/grpcpp.h>

#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "agent/control/stream_source.h"
#include "control/v1/control.grpc.pb.h"
#include "lib/fd/fd.h"
#include "operator/stream/certificates.h"
#include "operator/stream/control_server.h"
#include "operator/stream/tls.h"
#include "tests/fakes/token_reviewer.h"

namespace sluice {

inline ObjectChange node_change(const std::string& name, const std::string& cidr = "") {
  NodeObject node{.name = name};
  if (!cidr.empty()) node.pod_cidrs.push_back(*parse_prefix(cidr));
  return {.object = node, .removed = false};
}

inline ObjectChange pod_change(const std::string& name, const std::string& node,
                               const std::string& version = "1") {
  PodObject pod{.namespace_name = "demo", .name = name, .node = node};
  pod.labels["version"] = version;
  return {.object = pod, .removed = false};
}

inline ObjectChange no_pod(const std::string& name) {
  return {.object = PodObject{.namespace_name = "demo", .name = name}, .removed = true};
}

// "n1 n2 | a=1 b=2": nodes, and pods with their label.
inline std::string words(const Intent& intent) {
  std::string text;
  for (const auto& node : intent.nodes) text += node.name + " ";
  text += "|";
  for (const auto& pod : intent.pods) text += " " + pod.name + "=" + pod.labels.at("version");
  return text;
}

inline CertificateTime now_seconds() {
  return std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
}

class ControlTest : public testing::Test {
 protected:
  ControlTest() {
    (void)
        spdlog::default_logger();  // made before there are threads: TSan does not see inside spdlog
    std::string name = "/tmp/control_test.XXXXXX";
    folder_ = mkdtemp(name.data());
    authorities_ = *renew({}, {}, now_seconds());
    write("ca.pem", bundle(authorities_));
  }
  ~ControlTest() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  void write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(write_file(path(name), text));
  }

  // A replica: resolves what the test says happens, and serves it.
  class Operator {
   public:
    Operator(ControlTest& test, std::string name, ControlServerOptions options = {})
        : tls_(*ServerTls::open(test.path(name), *issue(test.authorities_, {}, now_seconds()))) {
      options.addresses = {"127.0.0.1:0"};
      options.credentials = tls_.credentials();
      options.build = {.version = "1.2.3", .commit = "abc"};
      options.instance = std::move(name);
      auto server =
          ControlServer::start(std::move(options), test.reviewer_, [this](const AgentState& state) {
            const std::lock_guard lock(mutex_);
            reports_.push_back(state);
          });
      EXPECT_TRUE(server) << server.error().message();
      server_ = std::move(*server);
    }
    void change(const std::vector<ObjectChange>& changes) {
      server_->publish(resolver_.apply(changes));
      server_->set_synced();
    }
    std::string address() const { return "127.0.0.1:" + std::to_string(server_->port()); }
    ControlServer& server() { return *server_; }
    ServerTls& tls() { return tls_; }
    const StreamCounters& counters() const { return server_->counters(); }
    const Resolver& resolver() const { return resolver_; }
    std::vector<AgentState> reports() const {
      const std::lock_guard lock(mutex_);
      return reports_;
    }
    void stop() { server_.reset(); }

   private:
    ServerTls tls_;
    Resolver resolver_;
    mutable std::mutex mutex_;  // guards reports_
    std::vector<AgentState> reports_;
    std::unique_ptr<ControlServer> server_;
  };

  // Applies what it is given at once, as a kernel that never fails, until told otherwise.
  struct Agent : std::enable_shared_from_this<Agent> {
    std::unique_ptr<StreamSource> source;
    std::vector<Intent> intents{};
    std::vector<std::vector<SourceProblem>> problems{};
    bool applies = true;
    std::vector<ObjectFault> faults{};

    std::string words() const { return intents.empty() ? "" : sluice::words(intents.back()); }
  };

  StreamSettings settings(const std::string& node, const std::vector<std::string>& operators) {
    write(node + ".token", reviewer_.issue_for(node));
    StreamSettings settings;
    settings.operators = operators;
    settings.node_name = node;
    settings.build = {.version = "1.2.3", .commit = "abc"};
    settings.authorities_file = path("ca.pem");
    settings.token_file = path(node + ".token");
    settings.backoff = {.first = std::chrono::milliseconds(20),
                        .longest = std::chrono::milliseconds(100)};
    return settings;
  }
  std::shared_ptr<Agent> agent(StreamSettings settings,
                               const std::optional<Intent>& last = std::nullopt) {
    auto agent = std::make_shared<Agent>();
    StreamHooks hooks;
    hooks.on_intent = [this, to = agent.get()](const IntentDelta& delta, const auto& problems) {
      Intent intent = to->intents.empty() ? Intent{} : to->intents.back();
      apply(delta, intent);
      to->intents.push_back(std::move(intent));
      to->problems.push_back(problems);
      // The agent may be gone by the time that its kernel has it.
      asio::post(loop_, [weak = to->weak_from_this(), revision = delta.revision] {
        const auto alive = weak.lock();
        if (alive && alive->applies && alive->source)
          alive->source->applied(revision, alive->faults);
      });
    };
    hooks.random = [this] { return std::uniform_real_distribution<>(0, 1)(random_); };
    auto source = StreamSource::open(loop_, std::move(settings), last, std::move(hooks));
    EXPECT_TRUE(source) << source.error().message();
    agent->source = std::move(*source);
    return agent;
  }
  std::shared_ptr<Agent> agent(const std::string& node, const std::vector<std::string>& operators) {
    return agent(settings(node, operators));
  }

  // Runs the agents until it holds; false after ten seconds.
  template <class Condition>
  bool until(const Condition& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      loop_.restart();
      loop_.run_for(std::chrono::milliseconds(2));
    }
    return true;
  }
  bool until_words(const Agent& agent, const std::string& words) {
    return until([&] { return agent.words() == words; });
  }
  // What the operator knows of the only agent there is.
  static AgentState only(Operator& replica) {
    const auto agents = replica.server().agents();
    return agents.size() == 1 ? agents[0] : AgentState{};
  }

  // A client that speaks the protocol by hand.
  struct Raw {
    std::unique_ptr<grpc::ClientContext> context = std::make_unique<grpc::ClientContext>();
    std::unique_ptr<control::v1::Control::Stub> stub;
    std::unique_ptr<
        grpc::ClientReaderWriter<control::v1::AgentMessage, control::v1::OperatorMessage>>
        stream;

    // Reads until the stream ends or a mark came.
    std::vector<control::v1::OperatorMessage> read_to_mark() {
      std::vector<control::v1::OperatorMessage> messages;
      control::v1::OperatorMessage message;
      while (stream->Read(&message)) {
        messages.push_back(message);
        if (message.has_mark()) break;
      }
      return messages;
    }
  };
  std::shared_ptr<grpc::ChannelCredentials> client_tls(const std::string& authorities = "") {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = authorities.empty() ? bundle(authorities_) : authorities;
    return grpc::SslCredentials(options);
  }
  static Raw raw(const std::string& address, const std::string& token,
                 const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride(kControlServerName);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    Raw raw;
    raw.context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (!token.empty()) raw.context->AddMetadata("authorization", "Bearer " + token);
    raw.stub =
        control::v1::Control::NewStub(grpc::CreateCustomChannel(address, credentials, arguments));
    raw.stream = raw.stub->Sync(raw.context.get());
    return raw;
  }
  static control::v1::AgentMessage hello(const std::string& node) {
    control::v1::AgentMessage message;
    message.mutable_hello()->set_node_name(node);
    message.mutable_hello()->set_newest_protocol(1);
    message.mutable_hello()->set_oldest_protocol(1);
    return message;
  }

  std::string folder_;
  Authorities authorities_;
  FakeTokenReviewer reviewer_;
  std::mt19937 random_{7};
  asio::io_context loop_;
};

}  // namespace sluice
