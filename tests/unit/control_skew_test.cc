// SPDX-License-Identifier: Apache-2.0
// A version older and a version newer than this one, at either end of the stream: each does what it
// knows. What this build would not understand travels as bytes of messages that it does not have.
#include "operator/stream/codec.h"
#include "skew/newer.pb.h"
#include "skew/older.pb.h"
#include "tests/unit/control_fixture.h"

namespace sluice {
namespace {

using testing::ElementsAre;

namespace wire = control::v1;

// The same bytes as another version reads them; what it does not know stays in them.
template <class To, class From>
To as(const From& from) {
  To to;
  EXPECT_TRUE(to.ParseFromString(from.SerializeAsString()));
  return to;
}

class ControlSkewTest : public ControlTest {};

TEST_F(ControlSkewTest, AnOlderAgentIsGivenAllAndReadsWhatItKnows) {
  Operator replica(*this, "a");
  replica.change({node_change("n1", "10.1.0.0/24"), node_change("n2"), pod_change("web", "n1")});
  skew::older::AgentMessage first;
  first.mutable_hello()->set_node_name("n1");
  first.mutable_hello()->set_newest_protocol(1);
  first.mutable_hello()->set_oldest_protocol(1);
  auto client = raw(replica.address(), reviewer_.issue_for("n1"), client_tls());
  ASSERT_TRUE(client.stream->Write(as<wire::AgentMessage>(first)));

  std::vector<std::string> names;
  uint64_t revision = 0;
  for (const auto& message : client.read_to_mark()) {
    const auto old = as<skew::older::OperatorMessage>(message);
    for (const auto& change : old.changes())
      names.push_back(change.has_node() ? change.node().name() : change.pod().name());
    if (old.has_mark()) revision = old.mark().revision();
  }

  EXPECT_THAT(names, testing::UnorderedElementsAre("n1", "n2", "web"));
  skew::older::AgentMessage ack;
  ack.mutable_ack()->set_revision(revision);
  ASSERT_TRUE(client.stream->Write(as<wire::AgentMessage>(ack)));
  ASSERT_TRUE(until([&] { return only(replica).acked == revision; }));
}

TEST_F(ControlSkewTest, ANewerAgentIsUnderstoodAsFarAsThisOperatorGoes) {
  Operator replica(*this, "a");
  replica.change({node_change("n1")});
  skew::newer::AgentMessage first;
  first.mutable_hello()->set_node_name("n1");
  first.mutable_hello()->set_newest_protocol(2);
  first.mutable_hello()->set_oldest_protocol(1);
  first.mutable_hello()->add_features("policies");
  auto client = raw(replica.address(), reviewer_.issue_for("n1"), client_tls());
  ASSERT_TRUE(client.stream->Write(as<wire::AgentMessage>(first)));

  const auto messages = client.read_to_mark();
  ASSERT_FALSE(messages.empty());
  EXPECT_EQ(messages[0].welcome().protocol(), 1U);
  skew::newer::AgentMessage next;
  next.mutable_ack()->set_revision(messages.back().mark().revision());
  next.mutable_ack()->set_kernel("6.12");
  next.mutable_status()->set_ready(true);
  next.mutable_status()->set_memory_bytes(1);
  next.mutable_report()->set_text("news");
  ASSERT_TRUE(client.stream->Write(as<wire::AgentMessage>(next)));
  ASSERT_TRUE(until([&] { return only(replica).ready && only(replica).acked > 0; }));
  skew::newer::AgentMessage unknown;
  unknown.mutable_report()->set_text("nothing that is known");
  ASSERT_TRUE(client.stream->Write(as<wire::AgentMessage>(unknown)));
  replica.change({node_change("n2")});
  EXPECT_FALSE(client.read_to_mark().empty());  // the stream goes on
}

TEST_F(ControlSkewTest, VersionsWithoutACommonProtocolAreToldSo) {
  Operator replica(*this, "a");
  replica.change({node_change("n1")});
  auto client = raw(replica.address(), reviewer_.issue_for("n1"), client_tls());
  auto first = hello("n1");
  first.mutable_hello()->set_newest_protocol(9);
  first.mutable_hello()->set_oldest_protocol(8);
  first.mutable_hello()->mutable_build()->set_version("9.0.0");
  client.stream->Write(first);

  EXPECT_TRUE(client.read_to_mark().empty());
  const auto status = client.stream->Finish();

  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(),
            "agent 9.0.0 speaks protocols 8 to 9, operator 1.2.3 speaks 1 to 1: bring them at most "
            "one version apart");
  EXPECT_EQ(replica.counters().refused_protocol, 1U);
}

// An operator of another version: sends what the test says, remembers what agents say.
class Stranger final : public wire::Control::Service {
 public:
  Stranger(const std::shared_ptr<grpc::ServerCredentials>& credentials,
           std::vector<wire::OperatorMessage> says)
      : says_(std::move(says)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", credentials, &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~Stranger() override { server_->Shutdown(std::chrono::system_clock::now()); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::vector<wire::AgentMessage> heard() const {
    const std::lock_guard lock(mutex_);
    return heard_;
  }

 private:
  grpc::Status Sync(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<wire::OperatorMessage, wire::AgentMessage>* stream) override {
    wire::AgentMessage message;
    bool first = true;
    while (stream->Read(&message)) {
      {
        const std::lock_guard lock(mutex_);
        heard_.push_back(message);
      }
      if (!std::exchange(first, false)) continue;
      for (const auto& each : says_) stream->Write(each);
    }
    return grpc::Status::OK;
  }

  const std::vector<wire::OperatorMessage> says_;
  mutable std::mutex mutex_;  // guards heard_
  std::vector<wire::AgentMessage> heard_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

std::string all_buckets() {
  return std::string(32, '\xff');
}

TEST_F(ControlSkewTest, AnAgentTakesFromANewerOperatorWhatItKnowsAndCountsTheRest) {
  skew::newer::OperatorMessage first;
  first.mutable_welcome()->set_protocol(1);
  first.mutable_welcome()->set_motd("hello");
  first.mutable_advice()->set_text("upgrade");
  first.mutable_snapshot()->set_buckets(all_buckets());
  first.add_changes()->mutable_node()->set_name("n1");
  first.mutable_changes(0)->mutable_node()->set_zone("east");
  auto* pod = first.add_changes()->mutable_pod();
  pod->set_namespace_name("demo");
  pod->set_name("web");
  pod->add_labels()->set_key("version");
  pod->mutable_labels(0)->set_value("1");
  pod->add_host_ports(80);
  first.add_changes()->mutable_policy()->set_name("deny-all");
  first.add_changes()->mutable_policy()->set_name("allow-dns");
  first.mutable_mark()->set_revision(7);
  first.mutable_mark()->set_reason("news");
  ServerTls tls = *ServerTls::open(path("newer"), *issue(authorities_, {}, now_seconds()));
  Stranger newer(tls.credentials(), {as<wire::OperatorMessage>(first)});

  const auto n1 = agent("n1", {newer.address()});

  ASSERT_TRUE(until_words(*n1, "n1 | web=1"));
  ASSERT_TRUE(until([&] { return newer.heard().size() == 2; }));
  EXPECT_EQ(newer.heard()[1].ack().revision(), 7U);
  EXPECT_EQ(newer.heard()[1].ack().ignored(), 2U);
  EXPECT_EQ(newer.heard()[1].ack().errors_size(), 0);
}

TEST_F(ControlSkewTest, AnAgentTakesFromAnOlderOperatorWhatThereIs) {
  skew::older::OperatorMessage first;
  first.mutable_welcome()->set_protocol(1);
  first.mutable_snapshot()->set_buckets(all_buckets());
  first.add_changes()->mutable_node()->set_name("n1");
  first.mutable_mark()->set_revision(3);
  ServerTls tls = *ServerTls::open(path("older"), *issue(authorities_, {}, now_seconds()));
  Stranger older(tls.credentials(), {as<wire::OperatorMessage>(first)});

  const auto n1 = agent("n1", {older.address()});

  ASSERT_TRUE(until_words(*n1, "n1 |"));
  ASSERT_TRUE(until([&] { return older.heard().size() == 2; }));
  EXPECT_EQ(as<skew::older::AgentMessage>(older.heard()[1]).ack().revision(), 3U);
}

// A peer that is broken, not newer: what it says of one object must not cost the others.
TEST_F(ControlSkewTest, AnObjectThatCannotBeReadIsNamedAndWhatWasHeldOfItStays) {
  wire::OperatorMessage first;
  first.mutable_welcome()->set_protocol(1);
  first.mutable_snapshot()->set_buckets(all_buckets());
  first.add_changes()->mutable_node()->set_name("n1");
  first.add_changes()->mutable_node()->set_name("n2");
  first.mutable_changes(1)->mutable_node()->add_addresses("bad");
  first.add_changes()->mutable_node();  // without a name
  first.mutable_mark()->set_revision(1);
  ServerTls tls = *ServerTls::open(path("bad"), *issue(authorities_, {}, now_seconds()));
  Stranger broken(tls.credentials(), {first});
  Intent last;
  last.nodes = {{.name = "n2", .pod_cidrs = {*parse_prefix("10.2.0.0/24")}}, {.name = "n3"}};

  const auto n1 = agent(settings("n1", {broken.address()}), last);

  ASSERT_TRUE(until_words(*n1, "n1 n2 |"));
  EXPECT_EQ(n1->intents.back().nodes[1].pod_cidrs.size(), 1U);
  ASSERT_TRUE(until([&] { return broken.heard().size() == 2; }));
  std::vector<std::string> errors;
  const wire::Ack ack = broken.heard()[1].ack();
  for (const auto& error : ack.errors()) errors.push_back(error.message());
  EXPECT_THAT(errors, ElementsAre("Node : name: empty",
                                  "Node n2: addresses[0]: 3 bytes, an address has 16"));
}

}  // namespace
}  // namespace sluice
