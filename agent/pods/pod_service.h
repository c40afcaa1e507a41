// SPDX-License-Identifier: Apache-2.0
// Serves CNI: makes pods' devices and addresses, and publishes them as LocalEndpoints to desired.
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "agent/desired/desired.h"
#include "agent/pods/del_queue.h"
#include "agent/pods/endpoint_table.h"
#include "agent/pods/pod_link.h"
#include "agent/pods/state_writer.h"
#include "cni/v1/cni.pb.h"
#include "lib/netlink/netlink.h"

namespace sluice {

// What CHECK asks of the kernel's programs and rows. agent/apply implements it.
class EndpointProbe {
 public:
  virtual ~EndpointProbe() = default;
  // One sentence for each program or row that is missing or wrong; empty: all there.
  virtual std::vector<std::string> problems(const LocalEndpoint& endpoint) = 0;
};

struct PodSettings {
  std::string node_name;
  std::string state_dir = "/var/lib/sluice";
  std::string queue_dir = "/var/lib/sluice/cni-queue";
  std::string spare_queue_dir = "/run/sluice/cni-queue";  // where queue_dir cannot be written
  std::chrono::milliseconds address_rest = kAddressRest;
  std::chrono::milliseconds apply_deadline{20'000};  // how long ADD waits for the kernel's rows
  std::chrono::milliseconds leak_interval{10'000};
  std::chrono::milliseconds queue_interval{5'000};
};

// All are called in the control loop's thread.
struct PodHooks {
  // endpoints() changed, or an ADD wants to know that the rows are there: publish them
  // to desired and return the revision to wait for. applied(revision or later) must follow, also
  // where nothing changed; it may come at once.
  std::function<uint64_t()> on_endpoints_changed;
  // nullopt: ready. Else why not; ADD is answered "try again later", STATUS "not available".
  std::function<std::optional<std::string>()> not_ready;
  // Pods that run may not reach everything either.
  std::function<bool()> running_pods_suffer{};  // may be null
  // Acceptable uids of the pod (a mirror pod has two); empty: not known, any will do. May be null.
  std::function<std::vector<std::string>(const std::string& pod_namespace,
                                         const std::string& pod_name)>
      pod_uids;
  std::function<void()> on_conditions_changed{};  // outside of a request; may be null
  std::function<int64_t()> now_unix_ms;           // null: the system's clock
  EndpointProbe* probe = nullptr;  // null: CHECK covers devices, addresses and routes only
};

struct PodCounters {
  uint64_t adds = 0;
  uint64_t dels = 0;
  uint64_t failures = 0;        // requests answered with an error
  uint64_t leaks_released = 0;  // endpoints whose devices went away without DEL
  uint64_t gc_released = 0;
  uint64_t queue_replayed = 0;
  uint64_t save_failures = 0;  // the state file is behind until the next save
};

// Thread: the control loop (the io_context's only thread).
class PodService {
 public:
  using Reply = std::function<void(cni::v1::CniResponse)>;

  PodService(asio::io_context& loop, PodSettings settings, PodHooks hooks);
  ~PodService();
  PodService(const PodService&) = delete;
  PodService& operator=(const PodService&) = delete;

  // Restores endpoints, publishes them, replays the queue, starts the timers. Once, before the
  // first handle().
  Result<RestoreReport> start();
  // Answers waiting ADDs with "try again later" and stops the timers; devices and state stay.
  void stop();

  // `reply` is called exactly once, perhaps before this returns.
  void handle(const cni::v1::CniRequest& request, Reply reply);

  std::vector<LocalEndpoint> endpoints() const;  // sorted by ifindex
  void set_pod_cidrs(std::span<const Prefix> pod_cidrs);
  // Addresses that no pod gets though a range may hold them.
  void set_reserved(std::vector<Address> addresses);
  // Also changes the pods that are there; names each pod that could not be changed.
  std::vector<std::string> set_pod_mtu(uint32_t mtu, uint32_t route_mtu);
  // The kernel has the rows of all revisions up to this one, but for the endpoints (by ifindex)
  // that failed, and why.
  void applied(uint64_t revision, const std::map<uint32_t, std::string>& failed = {});

  // Also run by timers.
  void release_leaks();
  void replay_queue();  // and a save that failed is tried again

  std::vector<PoolStats> pools() const;
  uint64_t exhausted_total() const { return table_.pools().exhausted_total(); }
  const PodCounters& counters() const { return counters_; }
  uint64_t queue_corrupt_total() const { return queue_.corrupt_total(); }
  // Empty: healthy. Else what is wrong with the state file, the queue or the last save.
  std::vector<std::string> conditions() const;

 private:
  struct Waiter;
  // nullopt: go on. Else the answer that ends the request.
  using Refusal = std::optional<cni::v1::CniResponse>;

  void add(const cni::v1::CniRequest& request, Reply reply);
  Refusal check_add(const cni::v1::CniRequest& request) const;
  Refusal reuse_or_remove(const EndpointKey& key, const Netns& netns, bool& reuse);
  Refusal add_new(const cni::v1::CniRequest& request, const Netns& netns);
  Refusal check_names_are_free(const EndpointKey& key, const Netns& netns);
  Refusal allocate_addresses(LocalEndpoint& endpoint);
  Refusal make_link(LocalEndpoint& endpoint, const Netns& netns);
  cni::v1::CniResponse result_of(const LocalEndpoint& endpoint);

  void del(const cni::v1::CniRequest& request, const Reply& reply);
  void check(const cni::v1::CniRequest& request, const Reply& reply);
  void collect_garbage(const cni::v1::CniRequest& request, const Reply& reply);
  void status(const Reply& reply);
  // Device, addresses and row go; waiting ADDs are refused with `why`.
  Status remove_endpoint(const EndpointKey& key, const std::string& why);

  void wait_for_rows(const EndpointKey& key, Reply reply);
  void finish_waiters();
  std::string replay();  // what failed, if anything
  void say_reserved();
  // Logs what is new in conditions(), and passes on that they changed.
  void tell_changes(const std::vector<std::string>& before);
  void refuse_waiters(const EndpointKey& key, const cni::v1::CniResponse& answer);
  void undo_unanswered(const EndpointKey& key, const std::string& why);
  uint64_t publish();
  int64_t now_ms() const;
  // Unix time as of the start that goes on with a clock that nobody sets: addresses rest by it.
  int64_t rest_now_ms() const;
  void save();
  void saved(uint64_t number, const Status& saved);
  void repeat(asio::steady_timer& timer, std::chrono::milliseconds interval,
              void (PodService::*work)());

  asio::io_context& loop_;
  PodSettings settings_;
  PodHooks hooks_;
  EndpointTable table_;
  DelQueue queue_;
  std::optional<Netlink> host_;
  PodMtu mtu_;
  std::list<std::shared_ptr<Waiter>> waiters_;  // ADDs that wait for the kernel's rows
  std::set<EndpointKey> unanswered_;            // made, but no ADD for it succeeded yet
  std::map<uint32_t, std::string> failed_;      // by ifindex, of the last applied()
  uint64_t applied_revision_ = 0;
  uint64_t save_wanted_ = 0;  // the newest state that was handed to writer_
  uint64_t save_done_ = 0;
  PodCounters counters_;
  std::string store_condition_;
  std::string save_condition_;
  std::string leak_condition_;
  std::string replay_condition_;
  std::vector<Prefix> ranges_;
  std::vector<Address> reserved_said_;  // of the ranges, in the log
  int64_t boot_unix_ms_ = 0;
  bool stopped_ = false;
  asio::steady_timer leak_timer_;
  asio::steady_timer queue_timer_;
  std::optional<StateWriter> writer_;  // last: what waits is written before the table goes
};

}  // namespace sluice
