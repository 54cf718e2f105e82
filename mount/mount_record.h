/// Which process serves a directory, so that another command can end it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "base/file_system.h"
#include "base/status.h"

namespace starling::mount {

/// Records of the machine's mounts: one small file each, below a directory that a reboot empties.
/// Threads: safe; processes too.
class MountRecords {
 public:
  MountRecords(std::filesystem::path directory, FileSystem& files)
      : directory_(std::move(directory)), files_(files) {}

  /// Notes that the calling process serves `mounted_at` with the layers mounted below `root`.
  /// kAlreadyExists when a living one does.
  Status Add(const std::filesystem::path& mounted_at, const std::filesystem::path& root);
  /// Forgets it. Fine if it is not there.
  Status Remove(const std::filesystem::path& mounted_at);
  /// Asks the process that serves `mounted_at` to end and waits for that; a mount whose process is
  /// gone already is taken away. kNotFound when nobody serves it; kDeadlineExceeded when the
  /// process lives on.
  Status Stop(const std::filesystem::path& mounted_at, std::chrono::milliseconds timeout);

 private:
  struct Record;
  std::filesystem::path PathOf(const std::filesystem::path& mounted_at) const;
  StatusOr<Record> Read(const std::filesystem::path& mounted_at) const;

  std::filesystem::path directory_;
  FileSystem& files_;
};

}  // namespace starling::mount
