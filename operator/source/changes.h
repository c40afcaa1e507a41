// SPDX-License-Identifier: Apache-2.0
// What a watching source hands over: one object that is another now. Plain data.
#pragma once

#include <variant>

#include "operator/source/objects.h"

namespace sluice {

struct ObjectChange {
  std::variant<NodeObject, NamespaceObject, PodObject> object{};
  bool removed = false;  // only the key fields of `object` are set

  bool operator==(const ObjectChange&) const = default;
};

}  // namespace sluice
