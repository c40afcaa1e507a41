// SPDX-License-Identifier: Apache-2.0
// Who may open a control stream, and what strangers get: nothing. Certificates change under open
// streams.
#include <asio.hpp>
#include <thread>

#include "tests/unit/control_fixture.h"

namespace sluice {
namespace {

using testing::HasSubstr;

class ControlIdentityTest : public ControlTest {
 protected:
  ControlIdentityTest() {
    replica_ = std::make_unique<Operator>(*this, "a");
    replica_->change({node_change("n1"), node_change("n2"), pod_change("secret", "n1")});
  }
  // How the stream of this token that says it is `node` ends. It must not have been sent anything.
  grpc::Status refused(const std::string& token, const std::string& node) {
    auto client = raw(replica_->address(), token, client_tls());
    client.stream->Write(hello(node));
    control::v1::OperatorMessage message;
    EXPECT_FALSE(client.stream->Read(&message)) << message.DebugString();
    return client.stream->Finish();
  }
  std::unique_ptr<Operator> replica_;
};

TEST_F(ControlIdentityTest, ATokenOfAnotherNodeIsRefusedAndCounted) {
  const auto status = refused(reviewer_.issue_for("n2"), "n1");

  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(status.error_message(), "the token is bound to node n2, the agent says it is node n1");
  EXPECT_EQ(replica_->counters().refused_node, 1U);
  EXPECT_EQ(replica_->server().connected(), 0U);
}

TEST_F(ControlIdentityTest, WhoHasNoAgentsTokenIsRefused) {
  using Claims = FakeTokenReviewer::Claims;
  struct Row {
    std::string token;
    grpc::StatusCode code;
    const char* why;
  };
  const Row rows[] = {
      {"", grpc::StatusCode::UNAUTHENTICATED, "no token"},
      {"made-up", grpc::StatusCode::UNAUTHENTICATED, "the token is not valid: invalid bearer"},
      {reviewer_.issue(Claims{.audience = "kubernetes", .node = "n1"}),
       grpc::StatusCode::UNAUTHENTICATED, "token audiences"},
      {reviewer_.issue(Claims{.username = "system:serviceaccount:demo:default", .node = "n1"}),
       grpc::StatusCode::PERMISSION_DENIED, "the token is of system:serviceaccount:demo:default"},
      {reviewer_.issue(Claims{.node = ""}), grpc::StatusCode::PERMISSION_DENIED,
       "the token is bound to no node"},
  };
  for (const Row& row : rows) {
    const auto status = refused(row.token, "n1");
    EXPECT_EQ(status.error_code(), row.code) << row.why;
    EXPECT_THAT(status.error_message(), HasSubstr(row.why));
  }
  EXPECT_EQ(replica_->counters().refused_token, 4U);
  EXPECT_EQ(replica_->counters().refused_node, 1U);
  EXPECT_EQ(replica_->counters().messages, 0U);
}

TEST_F(ControlIdentityTest, WithoutTlsNotAByteOfTheProtocolIsSaid) {
  auto client =
      raw(replica_->address(), reviewer_.issue_for("n1"), grpc::InsecureChannelCredentials());
  control::v1::OperatorMessage message;
  EXPECT_FALSE(client.stream->Read(&message));
  EXPECT_EQ(client.stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);

  asio::io_context io;
  asio::ip::tcp::socket socket(io);
  socket.connect(
      {asio::ip::address_v4::loopback(), static_cast<uint16_t>(replica_->server().port())});
  asio::write(socket, asio::buffer(std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n")));
  std::string answer;
  std::error_code error;
  asio::read(socket, asio::dynamic_buffer(answer), error);  // until the server closes
  EXPECT_LE(answer.size(), 7U);                             // at most a TLS alert
  EXPECT_EQ(reviewer_.asked(), 0U);
}

TEST_F(ControlIdentityTest, AnAgentGivesItsTokenToNoOperatorOfAnotherAuthority) {
  write("ca.pem", bundle(*renew({}, {}, now_seconds())));

  const auto n1 = agent("n1", {replica_->address()});

  ASSERT_TRUE(until([&] { return n1->source->state().failures >= 2; }));
  EXPECT_TRUE(n1->intents.empty());
  EXPECT_EQ(reviewer_.asked(), 0U);
}

TEST_F(ControlIdentityTest, AnAgentTrustsNobodyWhileItHasNoAuthorities) {
  write("ca.pem", "\n");

  const auto n1 = agent("n1", {replica_->address()});

  ASSERT_TRUE(until([&] { return n1->source->state().failures >= 2; }));
  EXPECT_THAT(n1->source->state().error, HasSubstr("ca.pem is empty"));
  write("ca.pem", bundle(authorities_));
  ASSERT_TRUE(until_words(*n1, "n1 n2 | secret=1"));
}

TEST_F(ControlIdentityTest, AnApiServerThatIsAwayIsNoReasonToGiveUp) {
  reviewer_.set_away(true);
  const auto n1 = agent("n1", {replica_->address()});
  ASSERT_TRUE(until([&] { return n1->source->state().failures >= 2; }));
  EXPECT_THAT(n1->source->state().error, HasSubstr("the token could not be reviewed"));
  EXPECT_EQ(replica_->counters().refused_token, 0U);

  reviewer_.set_away(false);

  ASSERT_TRUE(until_words(*n1, "n1 n2 | secret=1"));
}

TEST_F(ControlIdentityTest, WhoSaysNoHelloIsSentAway) {
  Operator impatient(*this, "b", {.hello_timeout = std::chrono::milliseconds(100)});
  impatient.change({node_change("n1")});
  auto client = raw(impatient.address(), reviewer_.issue_for("n1"), client_tls());

  control::v1::OperatorMessage message;
  EXPECT_FALSE(client.stream->Read(&message));

  EXPECT_EQ(client.stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(ControlIdentityTest, WhatIsNoHelloIsRefused) {
  const auto refused_first = [&](const control::v1::AgentMessage& first) {
    auto client = raw(replica_->address(), reviewer_.issue_for("n1"), client_tls());
    client.stream->Write(first);
    EXPECT_TRUE(client.read_to_mark().empty());
    return client.stream->Finish();
  };
  EXPECT_EQ(refused_first({}).error_message(), "hello: missing in the first message");
  EXPECT_EQ(refused_first(hello("")).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refused_first(hello(std::string(300, 'n'))).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  auto twice = raw(replica_->address(), reviewer_.issue_for("n1"), client_tls());
  twice.stream->Write(hello("n1"));
  ASSERT_FALSE(twice.read_to_mark().empty());
  twice.stream->Write(hello("n2"));
  EXPECT_TRUE(twice.read_to_mark().empty());
  EXPECT_EQ(twice.stream->Finish().error_message(), "hello: sent twice");
}

TEST_F(ControlIdentityTest, CertificatesAndAuthoritiesChangeUnderOpenStreams) {
  const auto n1 = agent("n1", {replica_->address()});
  ASSERT_TRUE(until_words(*n1, "n1 n2 | secret=1"));
  const Authorities next = *renew({}, {}, now_seconds() + std::chrono::seconds(1));
  ASSERT_TRUE(replica_->tls().replace(*issue(next, {}, now_seconds())));
  write("ca.pem", bundle(next));  // only the next one: who gets in has been shown its signature

  const auto n2 = agent("n2", {replica_->address()});

  ASSERT_TRUE(until_words(*n2, "n1 n2 |"));
  replica_->change({pod_change("later", "n1")});
  ASSERT_TRUE(until_words(*n1, "n1 n2 | later=1 secret=1"));
  EXPECT_EQ(n1->source->state().streams, 1U);
}

// Forwards bytes until it is told to hold them back, as a network does when a node is cut off.
class Tunnel {
 public:
  explicit Tunnel(uint16_t to)
      : acceptor_(io_, {asio::ip::address_v4::loopback(), 0}), near_(io_), far_(io_) {
    port_ = acceptor_.local_endpoint().port();
    acceptor_.async_accept(near_, [this, to](const std::error_code& error) {
      if (error) return;
      far_.connect({asio::ip::address_v4::loopback(), to});
      forward(near_, far_, one_);
      forward(far_, near_, two_);
    });
    thread_ = std::jthread([this] { io_.run(); });
  }
  ~Tunnel() { io_.stop(); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  void cut() { cut_ = true; }

 private:
  using Buffer = std::array<char, 16384>;
  void forward(asio::ip::tcp::socket& from, asio::ip::tcp::socket& to, Buffer& buffer) {
    from.async_read_some(asio::buffer(buffer), [&](const std::error_code& error, size_t size) {
      if (error) return;
      std::error_code ignored;
      if (!cut_) asio::write(to, asio::buffer(buffer.data(), size), ignored);
      forward(from, to, buffer);
    });
  }

  asio::io_context io_;
  asio::ip::tcp::acceptor acceptor_;
  asio::ip::tcp::socket near_;
  asio::ip::tcp::socket far_;
  Buffer one_{};
  Buffer two_{};
  std::atomic<bool> cut_{false};
  uint16_t port_ = 0;
  std::jthread thread_;
};

TEST_F(ControlTest, BothEndsNoticeAPeerThatIsSilentlyGone) {
  constexpr std::chrono::milliseconds kShort(200);
  Operator replica(*this, "a", {.keepalive_interval = kShort, .keepalive_timeout = kShort});
  replica.change({node_change("n1")});
  Tunnel tunnel(static_cast<uint16_t>(replica.server().port()));
  StreamSettings quick = settings("n1", {tunnel.address(), replica.address()});
  quick.keepalive_interval = quick.keepalive_timeout = kShort;
  auto n1 = agent(quick);
  // Whichever it chose first, it ends in the tunnel once the other way is not there.
  ASSERT_TRUE(until_words(*n1, "n1 |"));
  if (n1->source->state().operator_address != tunnel.address()) {
    quick.operators = {tunnel.address()};
    n1 = agent(quick);
    ASSERT_TRUE(until_words(*n1, "n1 |"));
  }
  ASSERT_TRUE(until([&] { return replica.server().connected() == 1; }));

  tunnel.cut();

  ASSERT_TRUE(
      until([&] { return !n1->source->state().connected || n1->source->state().streams > 1; }));
  ASSERT_TRUE(until([&] {
    const auto reports = replica.reports();
    return std::any_of(reports.begin(), reports.end(),
                       [](const AgentState& state) { return !state.connected; });
  }));
}

}  // namespace
}  // namespace sluice
