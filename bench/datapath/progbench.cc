// SPDX-License-Identifier: Apache-2.0
// Nanoseconds per packet of each program by path, net of the floor: BPF_PROG_TEST_RUN pinned to one
// CPU, many passes, minimum and median. Needs root. Prints one JSON array.
//
//   progbench [PASSES=15] [REPEATS=1000000]
#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "restore.skel.h"
#include "tests/prog/world.h"

namespace sluice::test {

namespace {

struct Case {
  const char* name;
  Program program;
  Bytes frame;
  uint32_t ifindex = 0;
  uint32_t mark = 0;
  bool new_flows = false;
  int verdict = kNext;
  double goal_ns = 0;  // 0: none stated
};

struct Figures {
  double minimum = 0;
  double median = 0;
};

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "progbench: %s\n", what.c_str());
  std::exit(1);
}

bool is_egress(Program program) {
  return program == Program::kPodIngress || program == Program::kUplinkEgress;
}

class Bench {
 public:
  Bench(int passes, int repeats)
      : passes_(passes), repeats_(repeats), skeleton_(restore::open_and_load()) {
    if (skeleton_ == nullptr) die("cannot load restore.bpf.o");
  }
  ~Bench() { restore::destroy(skeleton_); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  // before: run ahead of each pass. Ends the process where the program does not go the way that is
  // measured.
  Figures measure(const Case& one, int target_fd, const std::function<void()>& before) {
    const bool egress = is_egress(one.program);
    const uint32_t slot = 0;
    const int targets =
        bpf_map__fd(egress ? skeleton_->maps.target_egress : skeleton_->maps.target_ingress);
    if (bpf_map_update_elem(targets, &slot, &target_fd, BPF_ANY) != 0) die("cannot set the target");
    std::vector<double> passes;
    for (int pass = 0; pass < passes_; ++pass) {
      before();
      passes.push_back(run(one, egress));
    }
    std::sort(passes.begin(), passes.end());
    return {.minimum = passes.front(), .median = passes[passes.size() / 2]};
  }

  int floor_fd(bool egress) const {
    return bpf_program__fd(egress ? skeleton_->progs.floor_egress : skeleton_->progs.floor_ingress);
  }
  void expect_verdict(int verdict) { wanted_ = verdict; }

 private:
  double run(const Case& one, bool egress) {
    set_original(one);
    __sk_buff context = {};
    context.ifindex = one.ifindex;
    Bytes out(4096);
    const int repeats = one.new_flows ? std::min(repeats_, 100'000) : repeats_;
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = one.frame.data(), .data_out = out.data(),
                .data_size_in = static_cast<uint32_t>(one.frame.size()),
                .data_size_out = static_cast<uint32_t>(out.size()), .ctx_in = &context,
                .ctx_size_in = sizeof(context), .repeat = repeats);
    const int fd = bpf_program__fd(egress ? skeleton_->progs.restore_egress
                                          : skeleton_->progs.restore_ingress);
    if (bpf_prog_test_run_opts(fd, &options) != 0)
      die(std::string(one.name) + ": " + std::strerror(errno));
    if (static_cast<int>(options.retval) != wanted_) {
      die(std::string(one.name) + ": verdict " + std::to_string(static_cast<int>(options.retval)) +
          ", not " + std::to_string(wanted_));
    }
    return options.duration;
  }

  void set_original(const Case& one) {
    struct {
      uint8_t header[74];
      uint8_t ports_offset;
      uint8_t vary;
      uint32_t turn;
      uint32_t mark;
    } original = {};
    static_assert(sizeof(original) == 84);
    if (one.frame.size() < sizeof(original.header))
      die(std::string(one.name) + ": the frame is too short");
    std::memcpy(original.header, one.frame.data(), sizeof(original.header));
    original.ports_offset = one.frame[12] == 0x08 ? 34 : 54;
    original.vary = one.new_flows ? 1 : 0;
    original.mark = one.mark;
    const uint32_t zero = 0;
    if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.original), &zero, &original, BPF_ANY) != 0)
      die("cannot set the header");
  }

  int passes_;
  int repeats_;
  int wanted_ = kNext;
  restore* skeleton_;
};

Ip between(const Address& src, const Address& dst) {
  return {.src = src, .dst = dst};
}

Tcp segment(uint16_t sport, uint16_t dport, uint8_t flags) {
  return {.sport = sport, .dport = dport, .flags = flags, .payload = Bytes(64)};
}

std::vector<Case> cases(const World& w, const Devices& d) {
  const auto out = [&](const Address& dst, uint8_t flags) {
    return frame(kFromA, between(w.pod_a, dst), segment(1000, 80, flags));
  };
  return {
      {"pod_egress established, routed by FIB", Program::kPodEgress, out(w.native, kAck), d.pod_a,
       0, false, kRedirect, 220},
      {"pod_egress established, local pod", Program::kPodEgress, out(w.pod_b, kAck), d.pod_a, 0,
       false, kRedirect, 0},
      {"pod_egress established, overlay", Program::kPodEgress, out(w.tunnelled, kAck), d.pod_a, 0,
       false, kRedirect, 0},
      {"pod_egress new flow, local pod", Program::kPodEgress, out(w.pod_b, kSyn), d.pod_a, 0, true,
       kRedirect, 0},
      {"uplink_ingress established, local pod", Program::kUplinkIngress,
       frame(kFromWire, between(w.native, w.pod_a), segment(80, 1000, kAck)), d.uplink, 0, false,
       kRedirect, 140},
      {"uplink_ingress host's own", Program::kUplinkIngress,
       frame(kFromWire, between(w.outside, w.node), segment(7, 22, kAck)), d.uplink, 0, false,
       kNext, 0},
      {"pod_ingress established, from the node", Program::kPodIngress,
       frame(kToA, between(w.node, w.pod_a), segment(5, 6, kAck)), d.pod_a, 0, false, kNext, 0},
      {"uplink_egress host's own", Program::kUplinkEgress,
       frame(kFromWire, between(w.node, w.outside), segment(7, 22, kAck)), d.uplink, 0, false,
       kNext, 0},
      {"uplink_egress established, translated", Program::kUplinkEgress, out(w.outside, kAck),
       d.uplink, MARK_TRANSLATE, false, kNext, 0},
  };
}

// The flows that "established" stands for: opened and answered.
void open_flows(Rig& rig, const World& w, const Devices& d) {
  for (const Address& peer : {w.native, w.pod_b, w.tunnelled, w.outside}) {
    rig.run(Program::kPodEgress, frame(kFromA, between(w.pod_a, peer), segment(1000, 80, kSyn)),
            d.pod_a);
  }
  rig.run(Program::kPodEgress,
          frame(kFromB, between(w.pod_b, w.pod_a), segment(80, 1000, kSyn | kAck)), d.pod_b);
  rig.run(Program::kUplinkIngress,
          frame(kFromWire, between(w.native, w.pod_a), segment(80, 1000, kSyn | kAck)), d.uplink);
  rig.run(Program::kPodIngress, frame(kToA, between(w.node, w.pod_a), segment(5, 6, kSyn)),
          d.pod_a);
}

void pin_to_one_cpu() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(1, &cpus);
  (void)sched_setaffinity(0, sizeof(cpus), &cpus);  // a machine with one CPU is pinned already
}

int main_of(int passes, int repeats) {
  const Devices& devices = network().devices;
  pin_to_one_cpu();
  Rig rig;
  Bench bench(passes, repeats);
  std::printf("[");
  const char* comma = "";
  std::map<bool, Figures> floors;  // by direction: the same for every path and family
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const World& w = world(family);
    for (const Case& one : cases(w, devices)) {
      const auto before = [&] {
        if (one.new_flows) {
          rig.clear();
          fill(rig);
        }
      };
      rig.clear();
      fill(rig);
      open_flows(rig, w, devices);
      const bool egress = is_egress(one.program);
      bench.expect_verdict(kNext);
      if (!floors.contains(egress))
        floors[egress] = bench.measure(one, bench.floor_fd(egress), [] {});
      const Figures& floor = floors[egress];
      bench.expect_verdict(one.verdict);
      const Figures whole = bench.measure(one, rig.program_fd(one.program), before);
      std::printf(
          "%s\n {\"name\": \"%s, %s\", \"minimum_ns\": %.0f, \"median_ns\": %.0f, \"floor_ns\": "
          "%.0f, \"goal_ns\": %.0f}",
          comma, one.name, w.is_v6() ? "IPv6" : "IPv4", whole.minimum - floor.minimum,
          whole.median - floor.median, floor.minimum, one.goal_ns);
      comma = ",";
      std::fflush(stdout);
    }
  }
  std::printf("\n]\n");
  return 0;
}

}  // namespace

}  // namespace sluice::test

int main(int argc, char** argv) {
  const int passes = argc > 1 ? std::atoi(argv[1]) : 15;
  const int repeats = argc > 2 ? std::atoi(argv[2]) : 1'000'000;
  if (passes < 1 || repeats < 1) {
    std::fprintf(stderr, "usage: progbench [PASSES] [REPEATS]\n");
    return 2;
  }
  return sluice::test::main_of(passes, repeats);
}
