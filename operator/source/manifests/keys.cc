// SPDX-License-Identifier: Apache-2.0
// A parse that keeps the keys of the mappings that are open, and nothing else.
#include "operator/source/manifests/keys.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <set>
#include <sstream>

namespace sluice {
namespace {

class KeyReader final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override { open_.clear(); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override { end_value(); }
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override { end_value(); }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                const std::string& value) override {
    if (at_key()) take_key(mark, value);
    end_value();
  }
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open_.push_back({.is_map = false});
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    open_.push_back({.is_map = true});
  }
  void OnMapEnd() override { close(); }

  std::vector<KeyProblem> take() { return std::move(problems_); }

 private:
  struct Level {
    bool is_map = false;
    bool at_value = false;  // of a map: its key has been read
    size_t index = 0;       // of a sequence
    std::string key{};
    std::set<std::string> keys{};
  };

  bool at_key() const { return !open_.empty() && open_.back().is_map && !open_.back().at_value; }

  void take_key(const YAML::Mark& mark, const std::string& key) {
    open_.back().key = key;
    if (!open_.back().keys.insert(key).second) report(mark, "is given twice");
    if (key == "<<") report(mark, "merging mappings is not supported: write the fields out");
  }

  void report(const YAML::Mark& mark, std::string what) {
    problems_.push_back({.line = static_cast<uint32_t>(mark.line + 1),
                         .column = static_cast<uint32_t>(mark.column + 1),
                         .path = path(),
                         .what = std::move(what)});
  }

  std::string path() const {
    std::string text;
    for (const Level& level : open_) {
      if (level.is_map) {
        text += (text.empty() ? "" : ".") + level.key;
      } else {
        text += "[" + std::to_string(level.index) + "]";
      }
    }
    return text;
  }

  void end_value() {
    if (open_.empty()) return;
    Level& level = open_.back();
    if (level.is_map) level.at_value = !level.at_value;
    if (!level.is_map) ++level.index;
  }

  void close() {
    open_.pop_back();
    end_value();
  }

  std::vector<Level> open_;
  std::vector<KeyProblem> problems_;
};

}  // namespace

std::vector<KeyProblem> key_problems(const std::string& text) {
  // yaml-cpp 0.7 finds one document after the other in a text like "," without ever moving on. No
  // text has more documents than lines: one that seems to have is refused before it is read for
  // good.
  const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  KeyReader reader;
  for (std::ptrdiff_t documents = 0; parser.HandleNextDocument(reader); ++documents) {
    if (documents > lines)
      throw YAML::ParserException(YAML::Mark::null_mark(), "a value stands where none can");
  }
  return reader.take();
}

}  // namespace sluice
