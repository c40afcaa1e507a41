// SPDX-License-Identifier: Apache-2.0
// attach_probe DEVICE tcx|clsact: attaches pod_egress to DEVICE in the way that the kernel at hand
// offers and shows that a frame which enters there is seen by it, in its own counter. For tests/vm,
// where kernels differ in just that. DEVICE must have a veth peer named DEVICE followed by "p".
// Exit status 0 when the frame was counted.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "bpf/abi/verdict.h"
#include "lib/fd/fd.h"
#include "tests/verifier/bpf_image.h"

namespace sluice::test {
namespace {

struct Attachment {
  bpf_link* link = nullptr;  // TCX; clsact lives in the kernel until its device goes
  ~Attachment() { bpf_link__destroy(link); }
};

Status attach(const bpf_program* program, int ifindex, bool tcx, Attachment& attachment) {
  if (tcx) {
    attachment.link = bpf_program__attach_tcx(program, ifindex, nullptr);
    return attachment.link != nullptr ? Status{} : fail(from_errno("attach by TCX"));
  }
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
  int failed = bpf_tc_hook_create(&hook);
  if (failed != 0) {
    return fail(from_errno("create clsact", -failed));
  }
  LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = bpf_program__fd(program), .handle = 1,
              .priority = 1);
  failed = bpf_tc_attach(&hook, &options);
  return failed == 0 ? Status{} : fail(from_errno("attach by clsact", -failed));
}

// A frame of an EtherType that nobody has: it must be seen and dropped, whatever the tables hold.
Status send_frame(const std::string& device) {
  const Fd fd(socket(AF_PACKET, SOCK_RAW, 0));
  if (!fd.valid()) {
    return fail(from_errno("open packet socket"));
  }
  std::array<uint8_t, ETH_ZLEN> frame{};
  frame.fill(0xff);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
  const ssize_t sent = sendto(fd.get(), frame.data(), frame.size(), 0,
                              reinterpret_cast<const sockaddr*>(&to), sizeof(to));
  return sent == static_cast<ssize_t>(frame.size()) ? Status{}
                                                    : fail(from_errno("send on " + device));
}

Result<uint64_t> packets(int map_fd, uint32_t index) {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 1) {
    return fail(from_errno("count CPUs", -cpus));
  }
  std::vector<counter> rows(static_cast<size_t>(cpus));
  if (bpf_map_lookup_elem(map_fd, &index, rows.data()) != 0) {
    return fail(from_errno("read sl_verdicts"));
  }
  uint64_t sum = 0;
  for (const counter& row : rows) {
    sum += row.packets;
  }
  return sum;
}

Status show_counted(bpf_object* object, const std::string& device) {
  const int map = bpf_object__find_map_fd_by_name(object, "sl_verdicts");
  if (map < 0) {
    return fail(ErrorCode::kNotFound, "the object has no map sl_verdicts");
  }
  if (const Status sent = send_frame(device + "p"); !sent) {
    return sent;
  }
  const uint32_t first = uint32_t{HOOK_POD_EGRESS} * VERDICT_MAX;
  const uint32_t seen = first + VERDICT_SEEN;
  const uint32_t dropped = first + VERDICT_DROPPED;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (std::chrono::steady_clock::now() < deadline) {
    const Result<uint64_t> saw = packets(map, seen);
    const Result<uint64_t> drops = packets(map, dropped);
    if (saw && drops && *saw > 0 && *drops > 0) {
      std::printf("seen %llu dropped %llu\n", static_cast<unsigned long long>(*saw),
                  static_cast<unsigned long long>(*drops));
      return {};
    }
    std::this_thread::yield();
  }
  return fail(ErrorCode::kTimeout, "no frame was counted at " + device);
}

Status run(const std::string& device, bool tcx) {
  for (const BpfImage& image : bpf_images()) {
    if (image.name != "pod_egress") {
      continue;
    }
    Result<Object> object = open_image(image);
    if (!object) {
      return fail(object.error());
    }
    const int failed = bpf_object__load(object->get());
    if (failed != 0) {
      return fail(from_errno("load pod_egress", -failed));
    }
    const unsigned ifindex = if_nametoindex(device.c_str());
    if (ifindex == 0) {
      return fail(from_errno("find device " + device));
    }
    Attachment attachment;
    const bpf_program* program = bpf_object__next_program(object->get(), nullptr);
    if (const Status done = attach(program, static_cast<int>(ifindex), tcx, attachment); !done) {
      return done;
    }
    return show_counted(object->get(), device);
  }
  return fail(ErrorCode::kNotFound, "pod_egress is not in this build");
}

}  // namespace
}  // namespace sluice::test

int main(int argc, char** argv) {
  const std::string mode = argc == 3 ? argv[2] : "";
  if (mode != "tcx" && mode != "clsact") {
    std::fprintf(stderr, "usage: attach_probe DEVICE tcx|clsact\n");
    return 2;
  }
  const sluice::Status done = sluice::test::run(argv[1], mode == "tcx");
  if (!done) {
    std::fprintf(stderr, "attach_probe: %s\n", done.error().message().c_str());
    return 1;
  }
  return 0;
}
