// SPDX-License-Identifier: Apache-2.0
// What somebody holds of a span, small enough to be told: sums of the objects' hashes by bucket.
// Equal content gives equal sums, in whichever order it came and whoever computes them.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

inline constexpr size_t kBuckets = 256;

struct ContentHash {
  uint64_t low = 0;
  uint64_t high = 0;

  bool operator==(const ContentHash&) const = default;
};

// The first 16 bytes of SHA-256.
ContentHash content_hash(std::string_view bytes);
// Where the object of this key is summed.
uint8_t bucket_of(std::string_view key);

class Digest {
 public:
  void add(uint8_t bucket, const ContentHash& hash);
  void remove(uint8_t bucket, const ContentHash& hash);
  std::bitset<kBuckets> difference(const Digest& other) const;

  std::string bytes() const;  // as Hello.digest
  static std::optional<Digest> parse(std::string_view bytes);

  bool operator==(const Digest&) const = default;

 private:
  std::array<ContentHash, kBuckets> sums_{};
};

// As Snapshot.buckets.
std::string bucket_bytes(const std::bitset<kBuckets>& buckets);
std::optional<std::bitset<kBuckets>> parse_buckets(std::string_view bytes);

}  // namespace sluice
