// SPDX-License-Identifier: Apache-2.0
// A folder of manifests as the source of objects: reads it, watches it, keeps the last good state
// of what breaks.
#pragma once

#include <asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lib/result/result.h"
#include "operator/source/changes.h"
#include "operator/source/objects.h"

namespace sluice {

// Reads *.yaml, *.yml and *.json of one folder (not of folders in it; names that start with a dot
// are skipped). A change is read at most 10 ms after the kernel tells of it; a file is read when
// its writer has closed it, or when a rename or a link put it in place, so that a half-written file
// is never taken. Thread: the one that runs `loop`.
class ManifestSource {
 public:
  // What is another since the last call (at the first: everything there is), and everything that
  // is wrong now. An object that changed twice comes twice, in order. Called once at start, then
  // with every change.
  using OnChange =
      std::function<void(const std::vector<ObjectChange>&, const std::vector<SourceProblem>&)>;

  // Watches and reads `folder`; the first call of on_change comes from inside open. A folder that
  // is not there yet (or goes away) is a problem, not an error: it is read when it comes. Its
  // parent has to exist: kNotFound names it.
  static Result<std::unique_ptr<ManifestSource>> open(asio::io_context& loop, std::string folder,
                                                      OnChange on_change);
  ManifestSource(const ManifestSource&) = delete;
  ManifestSource& operator=(const ManifestSource&) = delete;
  ~ManifestSource();

  // Objects of kinds that are not read, by "apiVersion kind": how many there are now.
  std::map<std::string, uint32_t> ignored_kinds() const;

 private:
  class Watch;
  explicit ManifestSource(std::shared_ptr<Watch> watch);
  std::shared_ptr<Watch> watch_;
};

}  // namespace sluice
