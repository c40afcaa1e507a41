// SPDX-License-Identifier: Apache-2.0
// Objects of the API server, as bytes, to the fields that Sluice uses.
#pragma once

#include <google/protobuf/arena.h>

#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/source/changes.h"
#include "operator/source/kube/body.h"

namespace sluice {

struct ObjectKey {
  std::string namespace_name{};  // empty for kinds without one
  std::string name{};

  auto operator<=>(const ObjectKey&) const = default;
};

struct ObjectHead {
  ObjectKey key{};                 // empty name: cannot be told
  std::string resource_version{};  // empty: cannot be told
};

struct Decoded {
  ObjectHead head{};
  std::optional<SourceObject> object{};  // nothing where there are problems
  std::vector<SourceProblem> problems{};
};

// Who and how new, of an object of any kind.
ObjectHead head_of(Encoding encoding, std::string_view bytes);

// kind: for problems. arena: what is decoded on the way lies there; the caller resets it.
using Decode = Decoded (*)(std::string_view kind, std::string_view bytes,
                           google::protobuf::Arena& arena);
Decoded decode_node(std::string_view kind, std::string_view bytes, google::protobuf::Arena& arena);
Decoded decode_namespace(std::string_view kind, std::string_view bytes,
                         google::protobuf::Arena& arena);
Decoded decode_pod(std::string_view kind, std::string_view bytes, google::protobuf::Arena& arena);
Decoded decode_service(std::string_view kind, std::string_view bytes,
                       google::protobuf::Arena& arena);
Decoded decode_custom(std::string_view kind, std::string_view bytes,
                      google::protobuf::Arena& arena);

}  // namespace sluice
