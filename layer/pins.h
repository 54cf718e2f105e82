#pragma once

#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "base/file_system.h"
#include "base/mutex.h"
#include "base/status.h"

namespace starling::layer {

/// The names of what must not be evicted, in a file: one a line. Threads: safe.
class Pins {
 public:
  static constexpr std::string_view kFileName = "pins";

  /// Reads the file; a missing one has none. kDataLoss for one that Add did not write. Borrows
  /// `files`.
  static StatusOr<std::unique_ptr<Pins>> Open(std::filesystem::path path, FileSystem& files);

  /// On the disk when this returns. kInvalidArgument for what cannot be a line. Blocks for the
  /// disk.
  Status Add(const std::string& name);
  /// kNotFound when it is not pinned. Blocks for the disk.
  Status Remove(const std::string& name);
  std::set<std::string> names() const;

 private:
  Pins(std::filesystem::path path, FileSystem& files, std::set<std::string> names)
      : path_(std::move(path)), files_(files), names_(std::move(names)) {}
  Status Write(std::set<std::string> names) EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);

  const std::filesystem::path path_;
  FileSystem& files_;
  Mutex write_mutex_;    // held over the writing of the file: only who pins waits for it
  mutable Mutex mutex_;  // leaf
  std::set<std::string> names_ GUARDED_BY(mutex_);
};

}  // namespace starling::layer
