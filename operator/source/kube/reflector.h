// SPDX-License-Identifier: Apache-2.0
// Keeps what is known of one kind equal to what the API server has: lists it page by page, watches
// from there, and finds its way back after every failure without dropping state.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/backoff/backoff.h"
#include "lib/loop/timers.h"
#include "operator/source/kube/api_client.h"
#include "operator/source/kube/kinds.h"

namespace sluice {

struct KindMetrics {
  uint64_t lists = 0;  // that came to their end
  uint64_t pages = 0;
  uint64_t watches = 0;  // that the server took
  uint64_t events = 0;   // added, modified, deleted
  uint64_t bookmarks = 0;
  uint64_t changes = 0;        // handed on: what we use of an object is another
  uint64_t decode_errors = 0;  // objects and events
  std::map<std::string, uint64_t, std::less<>> restarts{};  // of the list or the watch, by reason
  uint64_t objects = 0;
  bool synced = false;        // listed once
  Timers::Time last_heard{};  // event, bookmark or end of a list
  std::string last_error{};   // empty: it watches
};

// Thread: the loop's. The sink is called from the loop and does not destroy the reflector.
class Reflector {
 public:
  struct Timing {
    BackoffLimits backoff{};
    uint32_t page_limit = 500;
    std::chrono::seconds watch_time{300};  // asked of the server: up to twice that
    // The server sends a bookmark each minute.
    std::chrono::milliseconds watch_silence{150'000};
    std::chrono::milliseconds list_silence{60'000};
    std::chrono::milliseconds page_time{300'000};    // of a page, however steadily it trickles in
    std::chrono::milliseconds absent_retry{30'000};  // of an optional kind
  };
  struct Sink {
    std::function<void(std::vector<ObjectChange>)> changes;
    std::function<void()> synced;  // once
  };
  struct Parts {  // all outlive the reflector
    ApiClient& api;
    Timers& timers;
    StorePools& pools;
    Random random;
  };

  Reflector(Parts parts, KindSpec spec, Timing timing, Sink sink);
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;
  ~Reflector();

  void start() { list_first(); }

  const KindSpec& spec() const { return spec_; }
  const KindMetrics& metrics() const { return metrics_; }
  const KindStore& store() const { return *store_; }
  // How old our picture may be: since the server was last heard.
  std::chrono::milliseconds lag() const;
  // What is wrong with objects as they are now.
  std::vector<SourceProblem> problems() const;

 private:
  using Step = void (Reflector::*)();
  struct Failure {
    std::string reason;  // "expired", "throttled", ... : a label of a metric
    std::string detail;
    std::chrono::milliseconds wait{0};  // what the server asks for
  };

  void list_first();
  void list_page();
  void take_page(const ApiAnswer& answer);
  void finish_list();
  void take_absent();
  void watch();
  void take_bytes(std::string_view bytes);
  bool take_event(const WatchEvent& event, std::vector<ObjectChange>& changes);
  bool take_error(const WatchEvent& event);
  bool advance(const std::string& resource_version);
  void end_watch(const HttpEnd& end);
  void check_history();
  void take_history(const ApiAnswer& answer);

  Decoded decode(std::string_view bytes);
  void take_object(Decoded decoded, std::vector<ObjectChange>& changes);
  void hand_on(std::vector<ObjectChange> changes);
  void ask(const std::string& query, void (Reflector::*take)(const ApiAnswer&), Step on_loss);
  void take_refusal(const ApiAnswer& answer, Step again);
  void retry(Step step, Failure failure);
  void go(Step step, std::chrono::milliseconds wait);
  void stop_request();

  ApiClient& api_;
  Timers& timers_;
  Random random_;
  const KindSpec spec_;
  const Timing timing_;
  const Sink sink_;
  std::unique_ptr<KindStore> store_;
  Backoff backoff_;
  google::protobuf::Arena arena_;

  HttpId http_ = 0;
  TimerId timer_ = 0;
  ApiAnswer answer_{};  // of the request that runs
  std::chrono::seconds retry_after_{0};

  uint32_t round_ = 0;
  std::string continue_token_;
  bool nameless_ = false;  // the list has objects that could not be named
  std::string resource_version_;
  std::unique_ptr<WatchDecoder> decoder_;
  bool heard_ = false;        // something of value came by this watch
  bool list_wanted_ = false;  // an event of this watch could not be read nor named
  struct Trouble {
    uint32_t round = 0;  // of the list that named the object last
    std::vector<SourceProblem> problems{};
  };
  std::map<ObjectKey, Trouble> troubles_;  // of objects as they are now
  KindMetrics metrics_;
};

}  // namespace sluice
