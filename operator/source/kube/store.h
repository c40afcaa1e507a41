// SPDX-License-Identifier: Apache-2.0
// What is known of the objects of one kind: packed, with what many of them repeat kept once. It
// tells a change from what is the same, and what is gone from what was only not read yet.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/intern/intern.h"
#include "operator/source/kube/decode.h"

namespace sluice {

using TextPool = InternPool<std::string>;
using Text = TextPool::Ref;
using LabelSet = std::vector<std::pair<Text, Text>>;  // sorted by key
struct LabelSetHash {
  size_t operator()(const LabelSet& set) const;
};
using LabelPool = InternPool<LabelSet, LabelSetHash>;

// Shared by the stores of all kinds; outlives them.
struct StorePools {
  TextPool texts{};
  LabelPool labels{};  // refers to texts: goes first
};

// How an object of one kind is kept. By default as it is.
template <class T>
struct Packed {
  T object;

  static Packed pack(StorePools&, const T& from) { return {from}; }
  T unpack(const ObjectKey&) const { return object; }
  bool operator==(const Packed&) const = default;
};

template <>
struct Packed<PodObject> {
  std::array<uint8_t, 16> uid{};  // where it is a UUID in lower case
  Text other_uid{};
  Text node{};
  Text owner_kind{};
  Text owner_name{};
  LabelPool::Ref labels{};
  std::vector<Address> addresses{};
  bool host_network = false;
  bool finished = false;

  static Packed pack(StorePools& pools, const PodObject& from);
  PodObject unpack(const ObjectKey& key) const;
  bool operator==(const Packed&) const = default;
};

template <>
struct Packed<ServiceObject> {
  struct Port {
    Text name{};
    Text protocol{};
    uint16_t port = 0;
    uint16_t node_port = 0;
    bool operator==(const Port&) const = default;
  };
  // What few services have.
  struct More {
    std::vector<Address> external_ips{};
    std::vector<Address> ingress_ips{};
    std::vector<Prefix> source_ranges{};
    bool operator==(const More&) const = default;
    bool empty() const { return *this == More{}; }
  };
  Text type{};
  std::vector<Address> cluster_ips{};
  std::vector<Port> ports{};
  std::unique_ptr<More> more{};
  uint32_t affinity_seconds = 0;
  uint16_t health_check_node_port = 0;
  bool external_local = false;
  bool internal_local = false;

  static Packed pack(StorePools& pools, const ServiceObject& from);
  ServiceObject unpack(const ObjectKey& key) const;
  bool operator==(const Packed& other) const;
};

// A list is a round: what it does not name is gone when it ends.
class KindStore {
 public:
  virtual ~KindStore() = default;
  // True: it is new, or another than before.
  virtual bool put(const SourceObject& object, uint32_t round) = 0;
  // The list names it but it cannot be read: what was known of it stays.
  virtual void keep(const ObjectKey& key, uint32_t round) = 0;
  // The removal of it; nothing where it is not known.
  virtual std::vector<ObjectChange> erase(const ObjectKey& key) = 0;
  virtual std::vector<ObjectChange> erase_older(uint32_t round) = 0;
  virtual void for_each(const std::function<void(SourceObject)>& visit) const = 0;
  virtual size_t size() const = 0;
};

template <class T>
class TypedStore final : public KindStore {
 public:
  explicit TypedStore(StorePools& pools) : pools_(pools) {}

  bool put(const SourceObject& object, uint32_t round) override {
    const T& typed = std::get<T>(object);
    Key key{.namespace_name = {}, .name = typed.name};
    if constexpr (requires { typed.namespace_name; })
      key.namespace_name = pools_.texts.intern(typed.namespace_name);
    Packed<T> packed = Packed<T>::pack(pools_, typed);
    const auto [found, is_new] = records_.try_emplace(std::move(key));
    found->second.round = round;
    if (!is_new && found->second.packed == packed) return false;
    found->second.packed = std::move(packed);
    return true;
  }
  void keep(const ObjectKey& key, uint32_t round) override {
    const auto found = records_.find(key_of(key));
    if (found != records_.end()) found->second.round = round;
  }
  std::vector<ObjectChange> erase(const ObjectKey& key) override {
    const auto record = records_.extract(key_of(key));
    if (record.empty()) return {};
    return {removal(record.key(), record.mapped())};
  }
  std::vector<ObjectChange> erase_older(uint32_t round) override {
    std::vector<ObjectChange> gone;
    for (auto record = records_.begin(); record != records_.end();) {
      if (record->second.round == round) {
        ++record;
        continue;
      }
      gone.push_back(removal(record->first, record->second));
      record = records_.erase(record);
    }
    return gone;
  }
  void for_each(const std::function<void(SourceObject)>& visit) const override {
    for (const auto& [key, record] : records_) visit(record.packed.unpack(text_of(key)));
  }
  size_t size() const override { return records_.size(); }

 private:
  struct Key {
    Text namespace_name;
    std::string name;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const noexcept {
      return key.namespace_name.hash() * 31 + std::hash<std::string>()(key.name);
    }
  };
  struct Record {
    Packed<T> packed{};
    uint32_t round = 0;
  };

  Key key_of(const ObjectKey& key) const {
    const bool has_namespace = requires(T object) { object.namespace_name; };
    return {.namespace_name = has_namespace ? pools_.texts.intern(key.namespace_name) : Text(),
            .name = key.name};
  }
  static ObjectKey text_of(const Key& key) {
    return {.namespace_name = key.namespace_name ? *key.namespace_name : "", .name = key.name};
  }

  static ObjectChange removal(const Key& key, const Record& record) {
    T object;
    object.name = key.name;
    if constexpr (requires { object.namespace_name; })
      object.namespace_name = text_of(key).namespace_name;
    if constexpr (requires { record.packed.object.kind; }) object.kind = record.packed.object.kind;
    return {.object = std::move(object), .removed = true};
  }

  StorePools& pools_;
  std::unordered_map<Key, Record, KeyHash> records_;
};

template <class T>
std::unique_ptr<KindStore> make_store(StorePools& pools) {
  return std::make_unique<TypedStore<T>>(pools);
}

}  // namespace sluice
