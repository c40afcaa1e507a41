// SPDX-License-Identifier: Apache-2.0
// One manifest file to objects: the pure half of the manifest source.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "operator/source/objects.h"

namespace sluice {

struct ParsedFile {
  Objects objects{};  // in the order of the file; a key that comes twice is kept the first time and
                      // reported
  std::vector<SourceProblem> problems{};
  std::map<std::string, uint32_t> ignored_kinds{};  // "apps/v1 Deployment" -> how many
  // The text is not YAML, or an object could not be named: `objects` may lack some that the file
  // means to have.
  bool incomplete = false;
};

// file_name: for the origins only. text: YAML or JSON, any number of documents, `kind: List` (and
// PodList, ...) included. An object with a wrong field is reported, once for each field, and left
// out. Thread: any; pure.
ParsedFile parse_documents(std::string_view file_name, std::string_view text);

}  // namespace sluice
