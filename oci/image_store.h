/// Places that images come from and go to: a registry's repository, an OCI layout, an archive.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/io.h"
#include "oci/blob_reader.h"
#include "oci/descriptor.h"
#include "oci/image_config.h"
#include "oci/manifest.h"

namespace starling::oci {

/// A manifest or an index with the bytes that its digest covers.
struct RawManifest {
  std::string media_type;
  Digest digest;  // of `bytes`, checked
  Bytes bytes;
};

/// `json`, of the type `media_type`, with its digest.
RawManifest MakeRawManifest(std::string_view media_type, std::string_view json);

/// A repository of a registry that holds a blob: "docker.io", "library/ubuntu".
struct BlobOrigin {
  std::string registry;
  std::string repository;

  friend bool operator==(const BlobOrigin&, const BlobOrigin&) = default;
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
  /// ReadBlob without the bytes before `blob_offset`, to go on where a stream broke. What is left
  /// of a blob has no digest, so that none is checked unless the offset is 0. Blocks.
  virtual Status ReadBlobFrom(const Descriptor& blob, uint64_t blob_offset, ByteSink& sink);
  /// Opens a blob for random access with its last `tail_bytes` read. Blocks for one request.
  /// `blob.size_bytes` may be 0: unknown.
  virtual StatusOr<OpenedBlob> OpenBlob(const Descriptor& blob, uint64_t tail_bytes) = 0;
  /// Random access to a blob whose size is known, without asking anyone now: a source that is away
  /// shows at the first read.
  virtual StatusOr<std::shared_ptr<BlobReader>> BlobAt(const Descriptor& blob) = 0;
  /// Repositories that hold the blob, as far as that is known without asking a registry.
  virtual std::vector<BlobOrigin> OriginsOf(const Descriptor& blob);
  /// Manifests of any type that name `subject`. Blocks. kUnimplemented where none can be kept.
  virtual StatusOr<std::vector<Descriptor>> ReadReferrers(const Digest& subject);
};

/// One of several places that hold the same blobs.
struct BlobPlace {
  std::string name;  // for messages, and what tells it from others
  /// As ImageSource::BlobAt.
  std::function<StatusOr<std::shared_ptr<BlobReader>>(const Descriptor&)> open;
};

/// How a blob has come to its destination.
enum class BlobArrival {
  kPresent,  // it was there
  kMounted,  // from another repository of the registry, without moving a byte
  kSent,
};

/// Where an image is written: blobs first, then manifests, the named one last. Threads: safe.
class ImageDestination {
 public:
  virtual ~ImageDestination() = default;
  virtual std::string Name() const = 0;
  virtual StatusOr<bool> HasBlob(const Descriptor& blob) = 0;
  /// Starts a blob's stream at an offset, as often as sending it breaks off.
  using OpenStream = std::function<StatusOr<std::unique_ptr<ByteSource>>(uint64_t blob_offset)>;
  /// Stores a blob of known digest and size, both checked; `open` is not called when it is there
  /// already or one of `origins` has it. Blocks.
  virtual StatusOr<BlobArrival> PutBlob(const Descriptor& blob, const OpenStream& open,
                                        const std::vector<BlobOrigin>& origins) = 0;
  /// PutBlob, of a blob that nobody else is known to hold.
  Status WriteBlob(const Descriptor& blob, const OpenStream& open) {
    return PutBlob(blob, open, {}).status();
  }
  /// Stores a manifest that an index will name.
  virtual Status WriteManifest(const RawManifest& manifest) = 0;
  /// Stores the manifest or index that the destination's name stands for, and makes all durable.
  virtual Status WriteTopManifest(const RawManifest& manifest) = 0;
};

/// Streams of `content`, which the caller keeps.
ImageDestination::OpenStream StreamOf(ByteSpan content);

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

/// The manifest of one image, by its digest. Blocks.
StatusOr<Manifest> ReadManifest(ImageSource& source, const Digest& digest);
/// kResourceExhausted for a configuration of more than kMaxConfigBytes.
Status CheckConfigSize(const Descriptor& config);
/// An image's configuration, of kMaxConfigBytes at most. Blocks.
StatusOr<ImageConfig> ReadConfig(ImageSource& source, const Descriptor& config);

}  // namespace starling::oci
