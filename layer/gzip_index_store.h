#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "base/file_system.h"
#include "base/mutex.h"
#include "estargz/gzip_layer_index.h"

namespace starling::layer {

/// The descriptions of plain gzip layers that this node made or was told to trust:
/// `<directory>/<layer digest hex>.gzidx`, each replaced in one step. Knowledge that may be lost: a
/// file that cannot be understood is logged once, removed, and counts as absent. A file's time is
/// that of its last use.
/// Threads: safe; processes too. All calls block for the disk.
class GzipIndexStore {
 public:
  /// Of layers of 80 GB or so.
  static constexpr uint64_t kDefaultMaxBytes = 1ULL << 30;
  static constexpr size_t kDefaultMaxIndexes = 4096;
  /// The directory's place below the root of a daemon or of a mount.
  static constexpr std::string_view kDirectoryName = "gzip-indexes";

  /// The directory (0700) is made with the first description. Borrows `files`.
  GzipIndexStore(std::filesystem::path directory, FileSystem& files,
                 size_t max_indexes = kDefaultMaxIndexes, uint64_t max_bytes = kDefaultMaxBytes)
      : directory_(std::move(directory)),
        files_(files),
        max_indexes_(max_indexes),
        max_bytes_(max_bytes) {}

  /// kNotFound when none is kept for the layer. A use of it.
  StatusOr<estargz::GzipLayerIndex> Find(const oci::Digest& layer);
  /// The digest of what Find gives, without reading it again while its file stays the same. No use.
  StatusOr<oci::Digest> DigestOf(const oci::Digest& layer);
  /// In the place of an earlier one of its layer. Beyond the maxima the least recently used go.
  Status Add(const estargz::GzipLayerIndex& index);

 private:
  /// By which a file is known again.
  struct Version {
    uint64_t inode = 0;
    int64_t size_bytes = 0;
    int64_t seconds = 0;
    int64_t nanoseconds = 0;

    friend bool operator==(const Version&, const Version&) = default;
  };
  static std::optional<Version> VersionOf(const std::filesystem::path& path);

  const std::filesystem::path directory_;
  FileSystem& files_;
  const size_t max_indexes_;
  const uint64_t max_bytes_;
  Mutex mutex_;                                                                      // leaf
  std::map<oci::Digest, std::pair<Version, oci::Digest>> known_ GUARDED_BY(mutex_);  // by layer
};

}  // namespace starling::layer
