// SPDX-License-Identifier: Apache-2.0
// What each agent has to hold: every object's newest record, in the order of the last changes. An
// agent that is behind has a place in this order and no queue of its own: however slow it reads,
// it costs nothing, and what it reads next is the newest.
#pragma once

#include <grpcpp/support/slice.h>

#include <array>
#include <bitset>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "operator/resolve/resolve.h"
#include "operator/stream/codec.h"
#include "operator/stream/digest.h"

namespace sluice {

// Nodes go to every agent, pods to the one of their node; pods without a node to none.
// Thread: publish from one at a time, the rest from any.
class Spans {
 public:
  struct Published {
    uint64_t revision = 0;
    bool all = false;               // every agent has something to read
    std::set<std::string> nodes{};  // these have too
  };
  // Everything that the agent lacks of revision `revision`, by reference.
  struct Opening {
    std::vector<grpc::Slice> records{};
    std::bitset<kBuckets> buckets{};  // which of them; none: it holds all there is
    uint64_t revision = 0;
  };
  struct Batch {
    std::vector<grpc::Slice> records{};
    uint64_t cursor = 0;   // where to read on
    bool reached = false;  // that is the newest there is
    bool lost = false;     // too far behind to tell what was removed since: open again
  };
  struct Figures {
    uint64_t revision = 0;
    size_t objects = 0;
    size_t removals = 0;  // kept for agents that are behind
    size_t bytes = 0;     // of the objects' records
  };

  Published publish(const IntentDelta& delta);

  // While a reader of the node is attached, what is removed stays known for it.
  void attach(const std::string& node);
  void detach(const std::string& node);
  // For attached nodes. held: what the agent has; nullopt: nothing.
  Opening open(const std::string& node, const std::optional<Digest>& held);
  // What changed after `cursor`, up to about max_bytes.
  Batch read(const std::string& node, uint64_t cursor, size_t max_bytes);
  // How many records `read` would give in all.
  size_t pending(const std::string& node, uint64_t cursor) const;

  Figures figures() const;

 private:
  struct Entry {
    ContentHash hash;
    uint8_t bucket = 0;
    bool removed = false;
    grpc::Slice bytes;
  };
  struct Scope {
    std::string node;                   // empty: every node
    std::map<uint64_t, Entry> entries;  // by revision; a removal stays as one until it is forgotten
    std::set<uint64_t> removals;
    uint64_t forgotten = 0;  // of removals up to here some are not known any more
    size_t readers = 0;
  };
  struct Place {
    Scope* scope = nullptr;
    uint64_t revision = 0;
  };

  Scope& scope_of(const std::string& node);
  void put(Scope& scope, Record record, Published& published);
  void drop(const std::string& key, Published& published);
  void take_out(Scope& scope, uint64_t revision);
  void forget(Scope& scope, uint64_t up_to);
  void clean(Scope& scope);
  void join_buckets();

  mutable std::mutex mutex_;  // guards everything below
  uint64_t head_ = 1;         // 0 is no revision
  Scope everywhere_;
  std::unordered_map<std::string, Scope> by_node_;  // references to its values stay good
  std::unordered_map<std::string, Place> places_;   // of the live entries, by key
  size_t bytes_ = 0;
  // Of everywhere_, for snapshots: the sums, and each bucket's records as one piece.
  Digest digest_;
  std::array<grpc::Slice, kBuckets> joined_;
  std::bitset<kBuckets> stale_;  // pieces to make anew
};

}  // namespace sluice
