/// Places that images come from and go to: a registry's repository, an OCI layout, an archive.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/io.h"
#include "oci/blob_reader.h"
#include "oci/descriptor.h"
#include "oci/manifest.h"

namespace starling::oci {

/// A manifest or an index with the bytes that its digest covers.
struct RawManifest {
  std::string media_type;
  Digest digest;  // of `bytes`, checked
  Bytes bytes;
};

/// One image, or one index of images, to read. Threads: safe.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  /// What the person named, for messages.
  virtual std::string Name() const = 0;
  /// The manifest or index that the name stands for. Blocks.
  virtual StatusOr<RawManifest> ReadTopManifest() = 0;
  /// The manifest that `descriptor` (from an index) names. Blocks. Its digest is checked.
  virtual StatusOr<RawManifest> ReadManifest(const Descriptor& descriptor) = 0;
  /// Streams a blob into `sink` and checks size and digest; on an error `sink` may hold a part.
  /// Blocks.
  virtual Status ReadBlob(const Descriptor& blob, ByteSink& sink) = 0;
  /// Opens a blob for random access with its last `tail_bytes` read. Blocks for one request.
  /// `blob.size_bytes` may be 0: unknown.
  virtual StatusOr<OpenedBlob> OpenBlob(const Descriptor& blob, uint64_t tail_bytes) = 0;
  /// Random access to a blob whose size is known, without asking anyone now: a source that is away
  /// shows at the first read.
  virtual StatusOr<std::shared_ptr<BlobReader>> BlobAt(const Descriptor& blob) = 0;
};

/// One of several places that hold the same blobs.
struct BlobPlace {
  std::string name;  // for messages, and what tells it from others
  /// As ImageSource::BlobAt.
  std::function<StatusOr<std::shared_ptr<BlobReader>>(const Descriptor&)> open;
};

/// Where an image is written: blobs first, then manifests, the named one last. Threads: safe.
class ImageDestination {
 public:
  virtual ~ImageDestination() = default;
  virtual std::string Name() const = 0;
  virtual StatusOr<bool> HasBlob(const Descriptor& blob) = 0;
  /// Stores a blob of known digest and size. `open` starts the stream, again for each retry.
  /// Fine if it is there already.
  using OpenStream = std::function<StatusOr<std::unique_ptr<ByteSource>>()>;
  virtual Status WriteBlob(const Descriptor& blob, const OpenStream& open) = 0;
  /// Stores a manifest that an index will name.
  virtual Status WriteManifest(const RawManifest& manifest) = 0;
  /// Stores the manifest or index that the destination's name stands for, and makes all durable.
  virtual Status WriteTopManifest(const RawManifest& manifest) = 0;
};

/// A manifest with the platform chosen: what one machine runs.
struct SelectedImage {
  Descriptor target;         // what the name stands for: index or manifest
  RawManifest top;           // its bytes
  RawManifest raw_manifest;  // equals `top` when that is no index
  Manifest manifest;
};

/// Reads the top manifest and, through any index (also an index of indexes, 3 deep at most),
/// the manifest that runs best on `platform`.
StatusOr<SelectedImage> SelectImage(ImageSource& source, const Platform& platform);

}  // namespace starling::oci
