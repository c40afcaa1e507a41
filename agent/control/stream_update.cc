// SPDX-License-Identifier: Apache-2.0
// What the operator sent between two marks.
#include "agent/control/stream_update.h"

#include <utility>

#include "control/v1/control.pb.h"
#include "operator/stream/codec.h"

namespace sluice {
namespace {

namespace wire = control::v1;

template <class Key, class Value, class KeyOf>
void forget(std::map<Key, Value>& objects, const std::bitset<kBuckets>& buckets,
            const KeyOf& key_of) {
  std::erase_if(objects, [&](const auto& each) { return buckets[bucket_of(key_of(each.first))]; });
}

}  // namespace

std::optional<StreamUpdate> UpdateBuilder::take(const wire::OperatorMessage& message) {
  if (message.has_snapshot()) {
    // Buckets that cannot be read would let everything look gone: then nothing is.
    if (const auto buckets = parse_buckets(message.snapshot().buckets())) take_snapshot(*buckets);
  }
  for (const wire::Change& change : message.changes()) take_change(change);
  if (!message.has_mark()) return std::nullopt;
  update_.revision = message.mark().revision();
  return std::exchange(update_, {});
}

// The operator starts anew: what it said before of these buckets does not count.
void UpdateBuilder::take_snapshot(const std::bitset<kBuckets>& buckets) {
  update_.snapshot |= buckets;
  forget(update_.nodes, buckets, node_key);
  forget(update_.pods, buckets, pod_key);
  forget(update_.unreadable, buckets, [](const std::string& key) { return key; });
}

void UpdateBuilder::take_change(const wire::Change& change) {
  const auto take = [&](auto& objects, const auto& name, const std::string& key, auto decoded,
                        ObjectFault fault) {
    if (change.removed() || decoded) {
      update_.unreadable.erase(key);
      auto& place = objects[name];
      if (change.removed()) {
        place.reset();
      } else {
        place = std::move(*decoded);
      }
      return;
    }
    objects.erase(name);
    fault.message = decoded.error().message();
    update_.unreadable[key] = std::move(fault);
  };
  switch (change.object_case()) {
    case wire::Change::kNode: {
      const std::string& name = change.node().name();
      return take(update_.nodes, name, node_key(name), decode(change.node()),
                  {.kind = "Node", .namespace_name = {}, .name = name, .message = {}});
    }
    case wire::Change::kPod: {
      const PodKey name{change.pod().namespace_name(), change.pod().name()};
      return take(
          update_.pods, name, pod_key(name), decode(change.pod()),
          {.kind = "Pod", .namespace_name = name.first, .name = name.second, .message = {}});
    }
    case wire::Change::OBJECT_NOT_SET:
      ++update_.ignored;
      return;
  }
}

}  // namespace sluice
