/// Images and indexes from one place to another, byte for byte.
#pragma once

#include <cstdint>
#include <optional>
#include <set>

#include "base/progress.h"
#include "oci/image_store.h"

namespace starling::copy {

/// More manifests are refused: a hostile index could name any number.
inline constexpr size_t kMaxManifests = 2000;
inline constexpr uint64_t kMaxManifestsBytes = 64 << 20;  // together
/// Referrers of referrers (a signature of an SBOM) are followed so deep.
inline constexpr int kMaxReferrerDepth = 3;

struct CopyOptions {
  /// Only the image of an index that runs best there, which the destination's name then stands for.
  std::optional<oci::Platform> platform;
  /// Also what names a copied manifest as its subject.
  bool referrers = false;
  /// Copies images with layers that may not be distributed. Those that lie elsewhere (urls) stay
  /// there; without it such an image is refused.
  bool allow_foreign = false;
  /// Blobs that the destination has taken from other repositories for this copy: they count as
  /// mounted by it, and it is not asked for them unless it refuses a manifest.
  std::set<oci::Digest> mounted;
  /// Blobs under way at once; each holds 4 MiB at most.
  size_t blobs_at_once = 6;
};

struct CopyReport {
  oci::Digest target;  // of what the destination's name stands for now
  size_t manifests = 0;
  size_t referrers = 0;  // of them
  size_t sent_blobs = 0;
  size_t mounted_blobs = 0;
  size_t present_blobs = 0;
  size_t foreign_layers = 0;  // left where they are
  uint64_t sent_bytes = 0;
};

/// Copies what `source` stands for: all blobs, then the manifests, those that others name first,
/// the named one last; on an error the destination's name stands for what it stood for before. No
/// digest changes, nothing is kept on a disk between, and what the destination has is not read.
/// Blocks. Errors: kUnimplemented for an index that holds something else than images and indexes,
/// and for referrers of a place that keeps none; kFailedPrecondition for foreign layers;
/// kResourceExhausted beyond the limits; else the source's and the destination's.
StatusOr<CopyReport> CopyImage(oci::ImageSource& source, oci::ImageDestination& destination,
                               const CopyOptions& options, Progress& progress);

}  // namespace starling::copy
