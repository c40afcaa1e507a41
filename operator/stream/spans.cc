// SPDX-License-Identifier: Apache-2.0
// What each agent has to hold, in the order of the last changes.
#include "operator/stream/spans.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

// Beyond as many removals as there are objects, telling an agent everything anew is cheaper.
constexpr size_t kMinRemovals = 256;
// A message of many tiny pieces costs more to send than its bytes.
constexpr size_t kMaxRecords = 1024;

}  // namespace

Spans::Published Spans::publish(const IntentDelta& delta) {
  // Serialised and hashed before the lock: readers go on.
  std::vector<Record> nodes;
  std::vector<Record> pods;
  nodes.reserve(delta.nodes.size());
  pods.reserve(delta.pods.size());
  for (const auto& node : delta.nodes) nodes.push_back(encode(*node));
  for (const auto& pod : delta.pods) pods.push_back(encode(*pod));

  const std::lock_guard lock(mutex_);
  Published published;
  for (const std::string& name : delta.removed_nodes) drop(node_key(name), published);
  for (Record& record : nodes) put(everywhere_, std::move(record), published);
  for (const PodKey& key : delta.removed_pods) drop(pod_key(key), published);
  for (size_t i = 0; i < pods.size(); ++i) {
    const PodIntent& pod = *delta.pods[i];
    if (pod.node.empty()) {
      drop(pods[i].key, published);
    } else {
      put(scope_of(pod.node), std::move(pods[i]), published);
    }
  }
  published.revision = head_;
  return published;
}

Spans::Scope& Spans::scope_of(const std::string& node) {
  Scope& scope = by_node_[node];
  scope.node = node;
  return scope;
}

void Spans::put(Scope& scope, Record record, Published& published) {
  const auto known = places_.find(record.key);
  if (known != places_.end()) {
    if (known->second.scope == &scope) {
      take_out(scope, known->second.revision);
    } else {  // a pod of the same name on another node
      drop(record.key, published);
    }
  }
  ++head_;
  if (&scope == &everywhere_) {
    digest_.add(record.bucket, record.hash);
    stale_.set(record.bucket);
    published.all = true;
  } else {
    published.nodes.insert(scope.node);
  }
  bytes_ += record.bytes.size();
  places_[record.key] = {.scope = &scope, .revision = head_};
  scope.entries.emplace_hint(scope.entries.end(), head_,
                             Entry{.hash = record.hash,
                                   .bucket = record.bucket,
                                   .removed = false,
                                   .bytes = grpc::Slice(record.bytes)});
}

void Spans::drop(const std::string& key, Published& published) {
  const auto known = places_.find(key);
  if (known == places_.end()) return;
  Scope& scope = *known->second.scope;
  take_out(scope, known->second.revision);
  places_.erase(known);
  if (&scope == &everywhere_) {
    published.all = true;
  } else {
    published.nodes.insert(scope.node);
  }
  ++head_;
  // Nobody is attached: whoever comes says what it holds.
  if (scope.readers == 0) return clean(scope);
  scope.removals.insert(head_);
  scope.entries.emplace_hint(
      scope.entries.end(), head_,
      Entry{.hash = {}, .bucket = 0, .removed = true, .bytes = grpc::Slice(encode_removal(key))});
  const size_t live = scope.entries.size() - scope.removals.size();
  if (scope.removals.size() > std::max(kMinRemovals, live)) forget(scope, *scope.removals.begin());
}

void Spans::take_out(Scope& scope, uint64_t revision) {
  const auto entry = scope.entries.find(revision);
  bytes_ -= entry->second.bytes.size();
  if (&scope == &everywhere_) {
    digest_.remove(entry->second.bucket, entry->second.hash);
    stale_.set(entry->second.bucket);
  }
  scope.entries.erase(entry);
}

void Spans::forget(Scope& scope, uint64_t up_to) {
  while (!scope.removals.empty() && *scope.removals.begin() <= up_to) {
    scope.forgotten = *scope.removals.begin();
    scope.entries.erase(scope.forgotten);
    scope.removals.erase(scope.removals.begin());
  }
}

void Spans::clean(Scope& scope) {
  if (&scope != &everywhere_ && scope.entries.empty() && scope.readers == 0)
    by_node_.erase(std::string(scope.node));
}

void Spans::attach(const std::string& node) {
  const std::lock_guard lock(mutex_);
  ++scope_of(node).readers;
  ++everywhere_.readers;
}

void Spans::detach(const std::string& node) {
  const std::lock_guard lock(mutex_);
  Scope& scope = scope_of(node);
  --scope.readers;
  --everywhere_.readers;
  if (scope.readers == 0) forget(scope, head_);
  if (everywhere_.readers == 0) forget(everywhere_, head_);
  clean(scope);
}

Spans::Opening Spans::open(const std::string& node, const std::optional<Digest>& held) {
  const std::lock_guard lock(mutex_);
  const Scope& scope = scope_of(node);
  Opening opening{.records = {}, .buckets = {}, .revision = head_};
  opening.buckets.set();
  if (held) {
    Digest whole = digest_;
    for (const auto& [revision, entry] : scope.entries) {
      if (!entry.removed) whole.add(entry.bucket, entry.hash);
    }
    opening.buckets = whole.difference(*held);
  }
  if (opening.buckets.none()) return opening;
  join_buckets();
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    if (opening.buckets[bucket] && joined_[bucket].size() > 0)
      opening.records.push_back(joined_[bucket]);
  }
  for (const auto& [revision, entry] : scope.entries) {
    if (!entry.removed && opening.buckets[entry.bucket]) opening.records.push_back(entry.bytes);
  }
  return opening;
}

void Spans::join_buckets() {
  if (stale_.none()) return;
  std::array<std::string, kBuckets> pieces;
  for (const auto& [revision, entry] : everywhere_.entries) {
    if (entry.removed || !stale_[entry.bucket]) continue;
    pieces[entry.bucket].append(reinterpret_cast<const char*>(entry.bytes.begin()),
                                entry.bytes.size());
  }
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    if (stale_[bucket]) joined_[bucket] = grpc::Slice(pieces[bucket]);
  }
  stale_.reset();
}

Spans::Batch Spans::read(const std::string& node, uint64_t cursor, size_t max_bytes) {
  const std::lock_guard lock(mutex_);
  Scope& scope = scope_of(node);
  Batch batch{.records = {}, .cursor = cursor};
  if (cursor < scope.forgotten || cursor < everywhere_.forgotten) {
    batch.lost = true;
    return batch;
  }
  // What its only reader has been given need not be known for it any longer.
  if (scope.readers == 1) forget(scope, cursor);
  auto own = scope.entries.upper_bound(cursor);
  auto shared = everywhere_.entries.upper_bound(cursor);
  size_t bytes = 0;
  while (bytes < max_bytes && batch.records.size() < kMaxRecords) {
    const bool has_own = own != scope.entries.end();
    const bool has_shared = shared != everywhere_.entries.end();
    if (!has_own && !has_shared) break;
    auto& next = has_own && (!has_shared || own->first < shared->first) ? own : shared;
    batch.cursor = next->first;
    bytes += next->second.bytes.size();
    batch.records.push_back(next->second.bytes);
    ++next;
  }
  batch.reached = own == scope.entries.end() && shared == everywhere_.entries.end();
  if (batch.reached) batch.cursor = head_;
  return batch;
}

size_t Spans::pending(const std::string& node, uint64_t cursor) const {
  const std::lock_guard lock(mutex_);
  const auto after = [cursor](const Scope& scope) {
    return static_cast<size_t>(
        std::distance(scope.entries.upper_bound(cursor), scope.entries.end()));
  };
  const auto scope = by_node_.find(node);
  return after(everywhere_) + (scope == by_node_.end() ? 0 : after(scope->second));
}

Spans::Figures Spans::figures() const {
  const std::lock_guard lock(mutex_);
  Figures figures{.revision = head_, .objects = places_.size(), .removals = 0, .bytes = bytes_};
  figures.removals = everywhere_.removals.size();
  for (const auto& [node, scope] : by_node_) figures.removals += scope.removals.size();
  return figures;
}

}  // namespace sluice
