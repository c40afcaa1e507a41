// SPDX-License-Identifier: Apache-2.0
// Runs the real programs on packets: loads the objects over one set of maps, hands frames in, reads
// rows and events.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bpf/abi/config.h"
#include "bpf/abi/ct.h"
#include "bpf/abi/event.h"
#include "bpf/abi/limits.h"
#include "bpf/abi/verdict.h"
#include "tests/packets/build.h"

namespace sluice::test {

enum class Program { kPodEgress, kPodIngress, kUplinkIngress, kUplinkEgress, kCtSweep };

inline constexpr int kNext = -1;
inline constexpr int kShot = 2;
inline constexpr int kRedirect = 7;

// What came of one run.
struct Outcome {
  int error = 0;  // errno of the run itself; EBADMSG: the program left a wrong sum of the whole
                  // packet (skb->csum)
  int verdict = 0;
  uint32_t mark = 0;
  Bytes out;
};

struct RigOptions {
  bool whole_sum = true;  // hand in, and check, the whole packet's sum (skb->csum)
  std::map<std::string, uint32_t> max_entries = {};  // by map; others as in the object
  datapath_config config = {
      .ipv4 = 1, .ipv6 = 1, .overlay = 1, .translate = 1, .events = 1, .pad = {}};
};

class Rig {
 public:
  // Objects are loaded when they are first run. Ends the process where the kernel refuses one.
  explicit Rig(RigOptions options = {});
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;
  ~Rig();

  // Empties every table, counter and the ring: the next test starts anew without loading again.
  void clear();

  // The frame as if it came in (or went out) at `ifindex`.
  Outcome run(Program program, const Bytes& frame, uint32_t ifindex, uint32_t mark = 0);
  // The keys through ct_sweep; returns what it removed.
  uint32_t sweep(const std::vector<ct_key>& keys);
  int program_fd(Program program);

  int map_fd(const std::string& name);
  template <class K, class V>
  bool put(const std::string& map, const K& key, const V& value) {
    return bpf_map_update_elem(map_fd(map), &key, &value, BPF_ANY) == 0;
  }
  template <class V, class K>
  std::optional<V> get(const std::string& map, const K& key) {
    V value = {};
    if (bpf_map_lookup_elem(map_fd(map), &key, &value) != 0) return std::nullopt;
    return value;
  }
  template <class K>
  bool erase(const std::string& map, const K& key) {
    return bpf_map_delete_elem(map_fd(map), &key) == 0;
  }
  template <class K>
  std::vector<K> keys(const std::string& map) {
    std::vector<K> out;
    K key = {};
    void* last = nullptr;
    while (bpf_map_get_next_key(map_fd(map), last, &key) == 0) {
      out.push_back(key);
      last = &key;
    }
    return out;
  }

  // Sum over CPUs.
  counter verdicts(hook at, verdict what);
  counter drops(uint32_t ifindex, hook at, drop_reason reason);
  // Records that the ring had no room for; sum over CPUs.
  uint64_t event_loss(event_kind kind);
  // What the ring holds, oldest first; empties it.
  std::vector<flow_event> events();

 private:
  struct Loaded;
  Loaded& loaded(Program program);
  counter sum(const std::string& map, const void* key);
  void clear_map(int fd);

  RigOptions options_;
  std::map<Program, std::unique_ptr<Loaded>> objects_;
  std::map<std::string, int> maps_;  // fds belong to the object that made the map
};

}  // namespace sluice::test
