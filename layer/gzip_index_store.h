#pragma once

#include <filesystem>
#include <string_view>

#include "base/file_system.h"
#include "estargz/gzip_layer_index.h"

namespace starling::layer {

/// The type of the artifact, and of its layers, in which the descriptions of an image's plain gzip
/// layers travel: one layer each.
inline constexpr std::string_view kGzipIndexType = "application/vnd.starling.gzip-index.v1";
/// In that artifact: the digest of the image's layer that a description is of.
inline constexpr std::string_view kGzipIndexLayerAnnotation = "dev.starling.gzip-index.layer";

/// The descriptions of plain gzip layers that this node made or was told to trust:
/// `<directory>/<layer digest hex>.gzidx`, each replaced in one step. Knowledge that may be lost: a
/// file that cannot be understood is logged once, removed, and counts as absent.
/// Threads: safe; processes too. All calls block for the disk.
class GzipIndexStore {
 public:
  static constexpr size_t kDefaultMaxIndexes = 1024;
  /// The directory's place below the root of a daemon or of a mount.
  static constexpr std::string_view kDirectoryName = "gzip-indexes";

  /// The directory (0700) is made with the first description. Borrows `files`.
  GzipIndexStore(std::filesystem::path directory, FileSystem& files,
                 size_t max_indexes = kDefaultMaxIndexes)
      : directory_(std::move(directory)), files_(files), max_indexes_(max_indexes) {}

  /// kNotFound when none is kept for the layer.
  StatusOr<estargz::GzipLayerIndex> Find(const oci::Digest& layer);
  /// In the place of an earlier one of its layer. Beyond the maximum those written longest ago go.
  Status Add(const estargz::GzipLayerIndex& index);

 private:
  const std::filesystem::path directory_;
  FileSystem& files_;
  const size_t max_indexes_;
};

}  // namespace starling::layer
