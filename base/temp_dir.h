#pragma once

#include <filesystem>

#include "base/status.h"

namespace starling {

/// A private directory (0700) that is removed with all it holds when its owner goes.
/// Never follows mounts: the owner unmounts first.
class TempDir {
 public:
  /// Makes `parent`/`prefix`XXXXXX.
  static StatusOr<TempDir> Make(const std::filesystem::path& parent, std::string_view prefix);
  TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TempDir& operator=(TempDir&& other) noexcept;
  ~TempDir();

  const std::filesystem::path& path() const { return path_; }
  /// Keeps the directory for good.
  std::filesystem::path Release() { return std::exchange(path_, {}); }

 private:
  explicit TempDir(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace starling
