// SPDX-License-Identifier: Apache-2.0
// What the YAML library lets pass and nobody means: a key that a mapping has twice, a merge ("<<")
// that it takes for a key like any other, and a text that never ends.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sluice {

struct KeyProblem {
  uint32_t line = 0;  // of the key, from 1
  uint32_t column = 0;
  std::string path{};  // from the root of its document: "spec.nodeName"
  std::string what{};
};

// Of all documents, in the order of the text. Throws YAML::Exception where it is not YAML, or reads
// on for ever. Pure.
std::vector<KeyProblem> key_problems(const std::string& text);

}  // namespace sluice
