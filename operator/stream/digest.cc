// SPDX-License-Identifier: Apache-2.0
// What somebody holds of a span, small enough to be told.
#include "operator/stream/digest.h"

#include <openssl/sha.h>

namespace sluice {
namespace {

constexpr size_t kSumBytes = 16;

void put_u64(uint64_t value, std::string& bytes) {
  for (int shift = 0; shift < 64; shift += 8)
    bytes.push_back(static_cast<char>(value >> shift & 0xff));
}

uint64_t get_u64(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i)
    value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return value;
}

std::array<unsigned char, SHA256_DIGEST_LENGTH> sha256(std::string_view bytes) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> sum{};
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), sum.data());
  return sum;
}

}  // namespace

ContentHash content_hash(std::string_view bytes) {
  const auto sum = sha256(bytes);
  const std::string_view text(reinterpret_cast<const char*>(sum.data()), sum.size());
  return {.low = get_u64(text), .high = get_u64(text.substr(8))};
}

uint8_t bucket_of(std::string_view key) {
  return sha256(key)[0];
}

void Digest::add(uint8_t bucket, const ContentHash& hash) {
  sums_[bucket].low += hash.low;
  sums_[bucket].high += hash.high;
}

void Digest::remove(uint8_t bucket, const ContentHash& hash) {
  sums_[bucket].low -= hash.low;
  sums_[bucket].high -= hash.high;
}

std::bitset<kBuckets> Digest::difference(const Digest& other) const {
  std::bitset<kBuckets> buckets;
  for (size_t i = 0; i < kBuckets; ++i) buckets[i] = sums_[i] != other.sums_[i];
  return buckets;
}

std::string Digest::bytes() const {
  std::string bytes;
  bytes.reserve(kBuckets * kSumBytes);
  for (const ContentHash& sum : sums_) {
    put_u64(sum.low, bytes);
    put_u64(sum.high, bytes);
  }
  return bytes;
}

std::optional<Digest> Digest::parse(std::string_view bytes) {
  if (bytes.size() != kBuckets * kSumBytes) return std::nullopt;
  Digest digest;
  for (ContentHash& sum : digest.sums_) {
    sum = {.low = get_u64(bytes), .high = get_u64(bytes.substr(8))};
    bytes.remove_prefix(kSumBytes);
  }
  return digest;
}

std::string bucket_bytes(const std::bitset<kBuckets>& buckets) {
  std::string bytes(kBuckets / 8, '\0');
  for (size_t i = 0; i < kBuckets; ++i) {
    if (buckets[i]) bytes[i / 8] = static_cast<char>(bytes[i / 8] | 1 << (i % 8));
  }
  return bytes;
}

std::optional<std::bitset<kBuckets>> parse_buckets(std::string_view bytes) {
  if (bytes.size() != kBuckets / 8) return std::nullopt;
  std::bitset<kBuckets> buckets;
  for (size_t i = 0; i < kBuckets; ++i)
    buckets[i] = (static_cast<unsigned char>(bytes[i / 8]) >> (i % 8) & 1) != 0;
  return buckets;
}

}  // namespace sluice
