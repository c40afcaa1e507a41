// SPDX-License-Identifier: Apache-2.0
// Equal values kept once: what thousands of objects repeat (label sets, names of namespaces and
// nodes) costs each of them a pointer.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_set>
#include <utility>

namespace sluice {

// A pool outlives its references. Two references of one pool are equal if and only if their values
// are. Thread: one at a time, the pool and its references together.
template <class T, class Hash = std::hash<T>>
class InternPool {
  struct Entry {
    T value;
    uint32_t references;
    InternPool* pool;
  };

 public:
  class Ref {
   public:
    Ref() = default;  // refers to nothing
    Ref(const Ref& other) : entry_(other.entry_) {
      if (entry_ != nullptr) entry_->references++;
    }
    Ref(Ref&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}
    Ref& operator=(Ref other) noexcept {
      std::swap(entry_, other.entry_);
      return *this;
    }
    ~Ref() {
      if (entry_ != nullptr && --entry_->references == 0) entry_->pool->forget(entry_);
    }

    const T& operator*() const { return entry_->value; }
    const T* operator->() const { return &entry_->value; }
    explicit operator bool() const { return entry_ != nullptr; }
    bool operator==(const Ref& other) const { return entry_ == other.entry_; }
    size_t hash() const { return std::hash<const void*>()(entry_); }

   private:
    friend class InternPool;
    explicit Ref(Entry* entry) : entry_(entry) { entry_->references++; }
    Entry* entry_ = nullptr;
  };

  InternPool() = default;
  InternPool(const InternPool&) = delete;
  InternPool& operator=(const InternPool&) = delete;
  ~InternPool() { assert(entries_.empty()); }

  Ref intern(const T& value) {
    const auto found = entries_.find(value);
    if (found != entries_.end()) return Ref(*found);
    return Ref(*entries_.insert(new Entry{value, 0, this}).first);
  }
  size_t size() const { return entries_.size(); }

 private:
  struct EntryHash {
    using is_transparent = void;
    size_t operator()(const T& value) const { return Hash()(value); }
    size_t operator()(const Entry* entry) const { return Hash()(entry->value); }
  };
  struct EntryEqual {
    using is_transparent = void;
    bool operator()(const Entry* a, const Entry* b) const { return a->value == b->value; }
    bool operator()(const T& a, const Entry* b) const { return a == b->value; }
    bool operator()(const Entry* a, const T& b) const { return a->value == b; }
  };

  void forget(Entry* entry) {
    entries_.erase(entry);
    delete entry;
  }

  std::unordered_set<Entry*, EntryHash, EntryEqual> entries_;
};

}  // namespace sluice
