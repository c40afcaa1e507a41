// SPDX-License-Identifier: Apache-2.0
// Objects of the intent as records of the control stream. Both ends use it, so that both hash the
// same bytes.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "lib/result/result.h"
#include "operator/resolve/intent.h"
#include "operator/stream/digest.h"

namespace sluice {

namespace control::v1 {
class Node;
class Pod;
}  // namespace control::v1

// bytes: an OperatorMessage of one Change; several of them in a row are one message with all their
// changes.
struct Record {
  std::string key{};
  std::string bytes{};
  ContentHash hash{};
  uint8_t bucket = 0;
};

Record encode(const NodeIntent& node);
Record encode(const PodIntent& pod);
// The bytes that say that the object of this key is gone.
std::string encode_removal(std::string_view key);

// kInvalid names object and field.
Result<NodeIntent> decode(const control::v1::Node& node);
Result<PodIntent> decode(const control::v1::Pod& pod);

std::string node_key(const std::string& name);
std::string pod_key(const PodKey& key);

}  // namespace sluice
