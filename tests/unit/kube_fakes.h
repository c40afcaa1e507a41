// SPDX-License-Identifier: Apache-2.0
// For tests of the Kubernetes source: time by hand, HTTP by script, bodies as the API server writes
// them.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kube/core.pb.h"
#include "kube/meta.pb.h"
#include "lib/loop/timers.h"
#include "operator/source/kube/http.h"

namespace sluice {

inline std::string kube_sample(const std::string& name) {
  std::ifstream file(std::string(SLUICE_KUBE_SAMPLES) + "/" + name, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

class ManualTimers final : public Timers {
 public:
  Time now() const override { return now_; }
  TimerId after(std::chrono::milliseconds delay, std::function<void()> call) override {
    waiting_[++last_] = {now_ + delay, std::move(call)};
    return last_;
  }
  void cancel(TimerId id) override { waiting_.erase(id); }

  // Moves time on and calls what is due on the way, in order.
  void advance(std::chrono::milliseconds by) {
    const Time end = now_ + by;
    for (;;) {
      auto next = waiting_.end();
      for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
        if (it->second.first <= end &&
            (next == waiting_.end() || it->second.first < next->second.first))
          next = it;
      }
      if (next == waiting_.end()) break;
      now_ = std::max(now_, next->second.first);
      const auto call = std::move(next->second.second);
      waiting_.erase(next);
      call();
    }
    now_ = end;
  }
  size_t waiting() const { return waiting_.size(); }

 private:
  Time now_{std::chrono::hours(1)};
  TimerId last_ = 0;
  std::map<TimerId, std::pair<Time, std::function<void()>>> waiting_;
};

// Each request waits here until the test answers it.
class ScriptedHttp final : public Http {
 public:
  struct Exchange {
    HttpRequest request;
    HttpHandlers handlers;
    bool over = false;
  };

  HttpId start(HttpRequest request, HttpHandlers handlers) override {
    exchanges.push_back({std::move(request), std::move(handlers), false});
    return exchanges.size();
  }
  void cancel(HttpId id) override {
    if (id != 0) exchanges[id - 1].over = true;
  }

  // The only request that waits.
  size_t open() const {
    size_t found = exchanges.size();
    for (size_t i = 0; i < exchanges.size(); ++i) {
      if (exchanges[i].over) continue;
      EXPECT_EQ(found, exchanges.size()) << "two requests at once";
      found = i;
    }
    EXPECT_LT(found, exchanges.size()) << "no request waits";
    return found;
  }
  bool idle() const {
    for (const Exchange& exchange : exchanges) {
      if (!exchange.over) return false;
    }
    return true;
  }
  const HttpRequest& request() const { return exchanges[open()].request; }
  // Path and query of the one that waits.
  std::string target() const {
    const std::string& url = request().url;
    return url.substr(url.find('/', 8));
  }

  void head(int status, std::string type = kProtobuf, int retry_after = 0) {
    exchanges[open()].handlers.head({.status = status,
                                     .content_type = std::move(type),
                                     .retry_after = std::chrono::seconds(retry_after)});
  }
  void body(const std::string& bytes) { exchanges[open()].handlers.body(bytes); }
  void end(HttpEnd how = {.status = {}, .sent = true}) {
    Exchange& exchange = exchanges[open()];
    exchange.over = true;
    const auto call = exchange.handlers.end;
    call(how);
  }
  void answer(int status, const std::string& bytes, std::string type = kProtobuf,
              int retry_after = 0) {
    head(status, std::move(type), retry_after);
    body(bytes);
    end();
  }
  void lose(ErrorCode code = ErrorCode::kUnavailable, bool sent = true) {
    end({.status = fail(code, "scripted loss"),
         .sent = sent,
         .silent = code == ErrorCode::kTimeout});
  }

  static constexpr const char* kProtobuf = "application/vnd.kubernetes.protobuf";
  std::vector<Exchange> exchanges;
};

inline std::string envelope(const google::protobuf::MessageLite& object) {
  kube::Unknown unknown;
  unknown.set_raw(object.SerializeAsString());
  return std::string("k8s\0", 4) + unknown.SerializeAsString();
}

inline std::string frame(const std::string& message) {
  std::string out;
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(message.size() >> shift & 0xff);
  return out + message;
}

inline std::string watch_frame(const std::string& type,
                               const google::protobuf::MessageLite& object) {
  kube::WatchEvent event;
  event.set_type(type);
  event.mutable_object()->set_raw(envelope(object));
  return frame(event.SerializeAsString());
}

inline kube::Pod kube_pod(const std::string& name, int version, const std::string& node = "n1") {
  kube::Pod pod;
  pod.mutable_metadata()->set_name(name);
  pod.mutable_metadata()->set_namespace_("demo");
  pod.mutable_metadata()->set_resourceversion(std::to_string(version));
  pod.mutable_spec()->set_nodename(node);
  return pod;
}

inline std::string pod_list(const std::vector<kube::Pod>& pods, int version,
                            const std::string& continue_token = "") {
  kube::AnyList list;
  list.mutable_metadata()->set_resourceversion(std::to_string(version));
  if (!continue_token.empty()) list.mutable_metadata()->set_continue_(continue_token);
  for (const kube::Pod& pod : pods) list.add_items(pod.SerializeAsString());
  return envelope(list);
}

inline kube::Status kube_status(int code, const std::string& reason,
                                const std::string& message = "said the server") {
  kube::Status status;
  status.set_code(code);
  status.set_reason(reason);
  status.set_message(message);
  return status;
}

}  // namespace sluice
