#pragma once

#include <filesystem>
#include <utility>

#include "base/status.h"
#include "base/temp_dir.h"
#include "base/unique_fd.h"

namespace starling::dockerfile::build {

/// A directory of one build, removed when it goes. What builds have left that were killed is
/// removed by the next.
class ScratchDirectory {
 public:
  /// Below `parent`, which is made.
  static StatusOr<ScratchDirectory> Make(const std::filesystem::path& parent);
  const std::filesystem::path& path() const { return directory_.path(); }

 private:
  ScratchDirectory(TempDir directory, UniqueFd lock)
      : directory_(std::move(directory)), lock_(std::move(lock)) {}
  TempDir directory_;
  UniqueFd lock_;  // says that somebody uses it
};

}  // namespace starling::dockerfile::build
