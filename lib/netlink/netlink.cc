// SPDX-License-Identifier: Apache-2.0
// The socket of rtnetlink: one request and its acknowledgement, or one dump that is whole.
#include "lib/netlink/netlink.h"

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <sched.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "lib/netlink/message.h"

namespace sluice {

namespace {

constexpr int kDumpTries = 16;
constexpr size_t kReceiveBytes = 32768;  // the kernel fills no more in one go

// What one message of the answer means for the exchange.
struct Ending {
  bool last = false;
  int error = 0;  // positive errno
  std::string explanation;
};

std::string extended_ack(const nlmsghdr* header, size_t fixed_bytes) {
  if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  std::string text;
  netlink_message::each_attribute(header, fixed_bytes, [&text](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG) {
      text = netlink_message::text_from(attribute);
    }
  });
  return text;
}

Ending ending_of(const nlmsghdr* header) {
  Ending ending;
  const size_t payload = mnl_nlmsg_get_payload_len(header);
  if (header->nlmsg_type == NLMSG_DONE) {
    ending.last = true;
    if (payload < sizeof(int)) return ending;
    int code = 0;
    std::memcpy(&code, mnl_nlmsg_get_payload(header), sizeof(code));
    if (code < 0) ending.error = -code;
    ending.explanation = extended_ack(header, sizeof(int));
  } else if (header->nlmsg_type == NLMSG_ERROR && payload >= sizeof(nlmsgerr)) {
    const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header));
    ending.last = true;
    ending.error = -error->error;
    size_t fixed = sizeof(nlmsgerr);
    if ((header->nlmsg_flags & NLM_F_CAPPED) == 0) fixed += error->msg.nlmsg_len - sizeof(nlmsghdr);
    ending.explanation = extended_ack(header, fixed);
  }
  return ending;
}

Error kernel_error(const std::string& what, const Ending& ending) {
  std::string context = what;
  if (!ending.explanation.empty()) context += " (" + ending.explanation + ")";
  return from_errno(std::move(context), ending.error);
}

// Walks the messages of `received` that answer `sequence`. Data is appended whole to `out`, where
// wanted.
struct Answer {
  uint32_t sequence = 0;
  bool interrupted = false;
  std::vector<char>* out = nullptr;

  Ending take(const char* received, size_t bytes) {
    const auto* header = reinterpret_cast<const nlmsghdr*>(received);
    int left = static_cast<int>(bytes);
    for (; mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left)) {
      if (header->nlmsg_seq != sequence) continue;  // the rest of an exchange that was given up
      if ((header->nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted = true;
      const Ending ending = ending_of(header);
      if (ending.last) return ending;
      if (header->nlmsg_type < NLMSG_MIN_TYPE || out == nullptr) continue;
      const auto* start = reinterpret_cast<const char*>(header);
      out->insert(out->end(), start, start + NLMSG_ALIGN(header->nlmsg_len));
    }
    return {};
  }
};

// Sends one message and waits for its end. kUnavailable with EINTR where a dump changed under way.
Status exchange(mnl_socket* socket, nlmsghdr* message, const std::string& what, Answer answer) {
  if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0) return fail(from_errno(what));
  alignas(nlmsghdr) char buffer[kReceiveBytes];
  for (;;) {
    const ssize_t got = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(from_errno(what + ": receive"));
    const Ending ending = answer.take(buffer, static_cast<size_t>(got));
    if (!ending.last) continue;
    if (ending.error != 0) return fail(kernel_error(what, ending));
    if (answer.interrupted) return fail(from_errno(what, EINTR));
    return {};
  }
}

Result<mnl_socket*> open_socket() {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (socket == nullptr) return fail(from_errno("open a netlink route socket"));
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
    const Error error = from_errno("bind a netlink route socket");
    mnl_socket_close(socket);
    return fail(error);
  }
  // Each is a comfort that an old kernel may lack: explanations, short acknowledgements, filters of
  // dumps.
  int on = 1;
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK}) {
    (void)mnl_socket_setsockopt(socket, option, &on, sizeof(on));
  }
  return socket;
}

}  // namespace

Netlink::Netlink(mnl_socket* socket) : socket_(socket) {}

Netlink::Netlink(Netlink&& other) noexcept
    : socket_(std::exchange(other.socket_, nullptr)), sequence_(other.sequence_) {}

Netlink& Netlink::operator=(Netlink&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(sequence_, other.sequence_);
  return *this;
}

Netlink::~Netlink() {
  if (socket_ != nullptr) mnl_socket_close(socket_);
}

Result<Netlink> Netlink::open() {
  auto socket = open_socket();
  if (!socket) return fail(socket.error());
  return Netlink(*socket);
}

Result<Netlink> Netlink::open_in(int netns_fd) {
  // A thread of its own enters and ends there: nothing has to find the way back, so nothing can get
  // lost.
  Result<mnl_socket*> socket = nullptr;
  try {
    std::thread([&socket, netns_fd] {
      if (::setns(netns_fd, CLONE_NEWNET) != 0) {
        socket = fail(from_errno("enter network namespace"));
      } else {
        socket = open_socket();
      }
    }).join();
  } catch (const std::system_error& error) {
    return fail(from_errno("start a thread for a network namespace", error.code().value()));
  }
  if (!socket) return fail(socket.error());
  return Netlink(*socket);
}

Status Netlink::request(nlmsghdr* message, const std::string& what) {
  message->nlmsg_flags |= NLM_F_ACK;
  message->nlmsg_seq = ++sequence_;
  return exchange(socket_, message, what, Answer{.sequence = sequence_});
}

Status Netlink::dump(nlmsghdr* message, const std::string& what,
                     const std::function<void(const nlmsghdr*)>& each) {
  std::vector<char> answer;
  for (int tries = 0; tries < kDumpTries; tries++) {
    answer.clear();
    message->nlmsg_flags |= NLM_F_ACK;
    message->nlmsg_seq = ++sequence_;
    auto done = exchange(socket_, message, what, Answer{.sequence = sequence_, .out = &answer});
    if (!done && done.error().sys_errno == EINTR)
      continue;  // changed while it was read: read again
    if (!done) return done;
    const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data());
    int left = static_cast<int>(answer.size());
    for (; mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left)) each(header);
    return {};
  }
  return fail(ErrorCode::kUnavailable, what + ": kept changing while it was read");
}

}  // namespace sluice
