// SPDX-License-Identifier: Apache-2.0
// Kernel features found by using them, never by the kernel's version. What has to be attached or
// created is so in a network namespace that only the probing thread is in and that goes with it.
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <sched.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <future>
#include <thread>
#include <utility>

#include "cli/check/check.h"
#include "cli/check/probe_links.h"
#include "lib/fd/fd.h"

namespace sluice::cli {

namespace {

using Results = std::vector<CheckResult>;

void add(Results& results, CheckResult result) {
  result.area = "kernel";
  results.push_back(std::move(result));
}

// The outcome of libbpf_probe_*: 1 yes, 0 no, negative: could not find out.
void add_probe(Results& results, const std::string& name, int outcome, const std::string& without) {
  const bool unknown = outcome < 0;
  add(results, {.area = "",
                .name = name,
                .level = outcome == 1 ? Level::kOk : Level::kFail,
                .found = outcome == 1 ? "there"
                         : unknown ? "could not be tried: " + std::string(std::strerror(-outcome))
                                   : "not there",
                .next_step = outcome == 1 ? ""
                             : unknown    ? "run as root with CAP_BPF and CAP_NET_ADMIN"
                                          : without});
}

void probe_types(Results& results) {
  const std::string kernel = "needs a kernel of 6.1 or later, with CONFIG_BPF_SYSCALL";
  add_probe(results, "packet programs",
            libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr),
            kernel + " and CONFIG_NET_CLS_ACT");
  add_probe(results, "syscall programs", libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SYSCALL, nullptr),
            kernel + ": connection tables are swept by one");
  constexpr std::array<std::pair<bpf_map_type, const char*>, 5> kMaps = {
      {{BPF_MAP_TYPE_HASH, "hash maps"},
       {BPF_MAP_TYPE_PERCPU_HASH, "per-CPU hash maps"},
       {BPF_MAP_TYPE_LRU_HASH, "LRU hash maps"},
       {BPF_MAP_TYPE_LPM_TRIE, "longest-prefix maps"},
       {BPF_MAP_TYPE_RINGBUF, "ring buffer"}}};
  for (const auto& [type, name] : kMaps) {
    add_probe(results, name, libbpf_probe_bpf_map_type(type, nullptr), kernel);
  }
  constexpr std::array<std::pair<bpf_func_id, const char*>, 6> kHelpers = {
      {{BPF_FUNC_redirect_peer, "bpf_redirect_peer"},
       {BPF_FUNC_redirect_neigh, "bpf_redirect_neigh"},
       {BPF_FUNC_fib_lookup, "bpf_fib_lookup"},
       {BPF_FUNC_skb_set_tunnel_key, "bpf_skb_set_tunnel_key"},
       {BPF_FUNC_ktime_get_coarse_ns, "bpf_ktime_get_coarse_ns"},
       {BPF_FUNC_ringbuf_reserve, "bpf_ringbuf_reserve"}}};
  for (const auto& [helper, name] : kHelpers) {
    add_probe(results, name, libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, helper, nullptr),
              kernel);
  }
}

void probe_btf(Results& results) {
  struct btf* btf = btf__load_vmlinux_btf();
  const int failed = btf == nullptr ? errno : 0;
  btf__free(btf);
  add(results, {.area = "",
                .name = "kernel BTF",
                .level = failed == 0 ? Level::kOk : Level::kFail,
                .found = failed == 0 ? "/sys/kernel/btf/vmlinux"
                                     : "not readable: " + std::string(std::strerror(failed)),
                .next_step = failed == 0 ? "" : "needs a kernel with CONFIG_DEBUG_INFO_BTF=y"});
}

// A packet program of two instructions that lets every packet pass. -errno where the verifier
// refuses.
int load_pass_program() {
  const std::array<bpf_insn, 2> instructions = {{
      {.code = BPF_ALU64 | BPF_MOV | BPF_K,
       .dst_reg = BPF_REG_0,
       .src_reg = 0,
       .off = 0,
       .imm = -1},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
  }};
  return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "sluice_probe", "GPL", instructions.data(),
                       instructions.size(), nullptr);
}

// 0, or the errno with which the kernel refused to attach to the loopback device of this namespace.
int try_tcx() {
  const Fd program(load_pass_program());
  if (!program.valid()) return errno;
  const Fd link(bpf_link_create(program.get(), static_cast<int>(if_nametoindex("lo")),
                                BPF_TCX_INGRESS, nullptr));
  return link.valid() ? 0 : errno;
}

int try_clsact() {
  const Fd program(load_pass_program());
  if (!program.valid()) return errno;
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(if_nametoindex("lo")),
              .attach_point = BPF_TC_INGRESS);
  if (const int made = bpf_tc_hook_create(&hook); made < 0 && made != -EEXIST) return -made;
  LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program.get());
  return -bpf_tc_attach(&hook, &options);
}

struct NamespaceProbes {
  int unshare = 0;  // errno of each, 0: it works
  int tcx = 0;
  int clsact = 0;
  int veth = 0;
  int vxlan = 0;
  int netkit = 0;
};

NamespaceProbes probe_in_namespace() {
  std::promise<NamespaceProbes> promise;
  std::future<NamespaceProbes> future = promise.get_future();
  // The thread takes the namespace, and all that is in it, with it when it ends.
  std::jthread thread([&promise] {
    NamespaceProbes probes;
    if (unshare(CLONE_NEWNET) != 0) {
      probes.unshare = errno;
    } else {
      probes.tcx = try_tcx();
      probes.clsact = try_clsact();
      probes.veth = try_link_kind("veth");
      probes.vxlan = try_link_kind("vxlan");
      probes.netkit = try_link_kind("netkit");
    }
    promise.set_value(probes);
  });
  return future.get();
}

void add_links(const NamespaceProbes& probes, Results& results) {
  const auto text = [](int error) {
    return error == 0 ? std::string("there") : "not there: " + std::string(std::strerror(error));
  };
  const bool attaches = probes.tcx == 0 || probes.clsact == 0;
  add(results, {.area = "",
                .name = "attach to devices",
                .level = probes.tcx == 0 ? Level::kOk
                         : attaches      ? Level::kWarn
                                         : Level::kFail,
                .found = probes.tcx == 0 ? "TCX"
                         : attaches      ? "clsact; TCX " + text(probes.tcx)
                                         : "clsact " + text(probes.clsact),
                .next_step = probes.tcx == 0 ? ""
                             : attaches      ? "works; a kernel of 6.6 or later replaces programs "
                                               "between two packets"
                                        : "needs a kernel with TCX, or with CONFIG_NET_SCH_INGRESS "
                                          "and CONFIG_NET_CLS_BPF"});
  add(results, {.area = "",
                .name = "veth devices",
                .level = probes.veth == 0 ? Level::kOk : Level::kFail,
                .found = text(probes.veth),
                .next_step = probes.veth == 0 ? "" : "modprobe veth (CONFIG_VETH)"});
  add(results, {.area = "",
                .name = "VXLAN devices",
                .level = probes.vxlan == 0 ? Level::kOk : Level::kWarn,
                .found = text(probes.vxlan),
                .next_step = probes.vxlan == 0 ? ""
                                               : "modprobe vxlan (CONFIG_VXLAN), or use routing: "
                                                 "native"});
  // Faster where it is there; nothing is missing where it is not.
  add(results, {.area = "",
                .name = "netkit devices",
                .level = Level::kOk,
                .found = probes.netkit == 0 ? "there" : "not there: veth serves"});
}

}  // namespace

std::vector<CheckResult> check_kernel() {
  // Probing fails on purpose here and there; libbpf would say so on stderr.
  libbpf_print_fn_t before = libbpf_set_print(nullptr);
  Results results;
  probe_btf(results);
  probe_types(results);
  const NamespaceProbes probes = probe_in_namespace();
  if (probes.unshare != 0) {
    add(results, {.area = "",
                  .name = "attach to devices",
                  .level = Level::kFail,
                  .found = "could not be tried: no network namespace of its own: " +
                           std::string(std::strerror(probes.unshare)),
                  .next_step = "run as root (CAP_SYS_ADMIN)"});
  } else {
    add_links(probes, results);
  }
  libbpf_set_print(before);
  return results;
}

}  // namespace sluice::cli
