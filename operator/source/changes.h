// SPDX-License-Identifier: Apache-2.0
// What a watching source hands over: one object that is another now. Plain data.
#pragma once

#include <variant>

#include "operator/source/objects.h"

namespace sluice {

using SourceObject =
    std::variant<NodeObject, NamespaceObject, PodObject, ServiceObject, CustomObject>;

struct ObjectChange {
  SourceObject object{};
  bool removed = false;  // only the key fields of `object` are set

  bool operator==(const ObjectChange&) const = default;
};

}  // namespace sluice
