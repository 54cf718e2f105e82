#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "containerd/client.h"
#include "dockerfile/build/base_images.h"
#include "dockerfile/build/cache_image.h"
#include "dockerfile/build/tree.h"
#include "dockerfile/plan/image_draft.h"
#include "oci/image_store.h"
#include "oci/manifest.h"

namespace starling::dockerfile::build {

/// What is said about an image beside it, in the same index.
struct Attestation {
  oci::RawManifest manifest;
  oci::Manifest parsed;
  std::string config;
  std::string statement;  // its only layer
};

/// A built image: its documents.
struct BuiltImage {
  oci::RawManifest manifest;
  oci::Manifest parsed;
  std::string config;
  Tree tree;
  std::optional<Attestation> attestation = std::nullopt;
};

struct ImageOptions {
  oci::Annotations annotations;
  /// Docker's media types instead of OCI's. kInvalidArgument for layers that have none there.
  bool docker_media_types = false;
  /// The image's time; absent: that of its latest layer.
  std::optional<std::chrono::sys_seconds> created;
  /// What its configuration says to later builds, if it says anything.
  std::optional<CacheRecords> cache_records = std::nullopt;
};

/// Describes `tree` as an image. Pure. Equal input, equal bytes.
StatusOr<BuiltImage> DescribeImage(const plan::ImageDraft& draft, const Tree& tree,
                                   const ImageOptions& options);

/// Results of steps as few images, for CacheImport. Equal results, equal bytes.
StatusOr<std::vector<BuiltImage>> DescribeCache(const std::vector<CachedResult>& results,
                                                const oci::Platform& platform);

/// The images of one name as an index, in order, their attestations behind them.
oci::RawManifest DescribeIndex(const std::vector<BuiltImage>& images,
                               const oci::Annotations& annotations);

/// Gives containerd the image, or the index of several, under `name`: it can be run at once, since
/// its snapshots are there. Layers of its bases stay where they are.
Status StoreImage(containerd::Client& client, const std::string& snapshotter,
                  const std::string& name, const std::vector<BuiltImage>& images,
                  const std::optional<oci::RawManifest>& index);

/// A built image to read, for what writes it elsewhere: its own layers from containerd, those of
/// its bases from where they are, of which registries may make use without moving a byte. Borrows
/// all.
std::unique_ptr<oci::ImageSource> OpenImage(containerd::Client& client, BaseImages& bases,
                                            const std::vector<BuiltImage>& images,
                                            const std::optional<oci::RawManifest>& index);

}  // namespace starling::dockerfile::build
