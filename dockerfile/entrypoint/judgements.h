#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/status.h"
#include "dockerfile/entrypoint/judge.h"

namespace starling::dockerfile::entrypoint {

/// The last judgements of images, so that a build that does nothing anew need not look again. At
/// most 256, however many images there were. Threads: safe, of other processes too.
class Judgements {
 public:
  explicit Judgements(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// Of the files that `tree` names by their content. Nothing for what was not judged, or when the
  /// record cannot be read.
  std::optional<Judgement> Find(const std::string& tree, const Start& start) const;
  Status Remember(const std::string& tree, const Start& start, const Judgement& judgement) const;

 private:
  const std::filesystem::path directory_;
};

}  // namespace starling::dockerfile::entrypoint
