// SPDX-License-Identifier: Apache-2.0
#include "agent/desired/desired.h"

namespace sluice {

std::string_view name(Routing routing) {
  switch (routing) {
    case Routing::kAuto:
      return "auto";
    case Routing::kNative:
      return "native";
    case Routing::kVxlan:
      return "vxlan";
  }
  return "unknown";
}

}  // namespace sluice
