// SPDX-License-Identifier: Apache-2.0
// One stream to one operator.
#include "agent/control/operator_stream.h"

#include <utility>

#include "operator/stream/certificates.h"

namespace sluice {
namespace {

namespace wire = control::v1;

// A message ends after the object that fills it; one object is far smaller.
constexpr int kMaxReceiveBytes = 16 << 20;
constexpr int kIdleTimeoutMs = 10'000;  // of a channel without a stream: then it has no connection

std::shared_ptr<grpc::Channel> connect(const StreamTarget& target) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = target.authorities_pem;
  grpc::ChannelArguments arguments;
  // Operators are found by address, and known by one name.
  arguments.SetSslTargetNameOverride(kControlServerName);
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(target.keepalive_interval.count()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                   static_cast<int>(target.keepalive_timeout.count()));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_CLIENT_IDLE_TIMEOUT_MS, kIdleTimeoutMs);
  return grpc::CreateCustomChannel(target.address, grpc::SslCredentials(tls), arguments);
}

// All channels share a queue and its threads, which end with the last channel: gRPC 1.51 frees that
// queue twice where another channel comes meanwhile. The first one stays for good, so that none is
// the last.
void keep_first(const std::shared_ptr<grpc::Channel>& channel) {
  static auto* const first = new std::shared_ptr<grpc::Channel>(channel);
  (void)first;
}

}  // namespace

std::shared_ptr<OperatorStream> OperatorStream::open(const StreamTarget& target, wire::Hello hello,
                                                     Events events) {
  std::shared_ptr<OperatorStream> stream(new OperatorStream(std::move(events)));
  stream->self_ = stream;
  stream->channel_ = connect(target);
  stream->context_.AddMetadata("authorization", "Bearer " + target.token);
  wire::Control::NewStub(stream->channel_)->async()->Sync(&stream->context_, stream.get());
  stream->AddHold();
  *stream->out_.mutable_hello() = std::move(hello);
  stream->writing_ = true;
  stream->StartWrite(&stream->out_);
  stream->StartRead(&stream->in_);
  stream->StartCall();
  keep_first(stream->channel_);
  return stream;
}

void OperatorStream::OnReadDone(bool ok) {
  if (!ok) return close();
  if (in_.has_welcome()) {
    const wire::Welcome& welcome = in_.welcome();
    events_.on_welcome(
        {.instance = welcome.instance(),
         .build = {.version = welcome.build().version(), .commit = welcome.build().commit()}});
  }
  auto update = builder_.take(in_);
  in_.Clear();
  if (update) {
    events_.on_update(std::move(*update));
  } else {
    resume();
  }
}

void OperatorStream::resume() {
  const std::lock_guard lock(mutex_);  // with it the stream cannot be let go meanwhile
  if (!closed_) StartRead(&in_);
}

void OperatorStream::send(wire::Ack ack) {
  {
    const std::lock_guard lock(mutex_);
    *next_.mutable_ack() = std::move(ack);
    has_next_ = true;
  }
  flush();
}

void OperatorStream::send(wire::Status status) {
  {
    const std::lock_guard lock(mutex_);
    *next_.mutable_status() = std::move(status);
    has_next_ = true;
  }
  flush();
}

void OperatorStream::flush() {
  const std::lock_guard lock(mutex_);
  if (closed_ || writing_ || !has_next_) return;
  out_ = std::exchange(next_, {});
  has_next_ = false;
  writing_ = true;
  StartWrite(&out_);
}

void OperatorStream::OnWriteDone(bool ok) {
  {
    const std::lock_guard lock(mutex_);
    writing_ = false;
  }
  if (ok) flush();  // else the read fails too, and says why
}

void OperatorStream::cancel() {
  context_.TryCancel();
  close();
}

void OperatorStream::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    if (!std::exchange(held_, false)) return;
  }
  RemoveHold();
}

void OperatorStream::OnDone(const grpc::Status& status) {
  events_.on_end(status);
  const auto self = std::move(self_);
  done_promise_.set_value();
}

}  // namespace sluice
