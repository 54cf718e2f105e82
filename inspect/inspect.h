#pragma once

#include <optional>
#include <string>
#include <vector>

#include "estargz/writer.h"
#include "layer/toc_image.h"
#include "oci/image_store.h"

namespace starling::inspect {

enum class LayerFormat {
  kEstargz,
  kEstargzExternalToc,  // its TOC is in another image
  kLegacyStargz,
  kZstdChunked,            // with the annotations of stargz-snapshotter
  kZstdChunkedContainers,  // with those of containers/storage: podman, buildah, skopeo
  kGzip,
  kZstd,
  kTar,
  kUnknown
};
std::string_view NameOf(LayerFormat format);

/// What a layer says of the order of its files.
enum class Landmark {
  kNone,
  kPrefetch,    // its front is needed first
  kNoPrefetch,  // nothing is
};

struct LayerReport {
  oci::Descriptor descriptor;
  LayerFormat format = LayerFormat::kUnknown;
  std::optional<oci::Digest> toc_digest;  // of the JSON of the TOC that the blob has
  uint64_t toc_bytes = 0;                 // of that TOC, as stored
  uint64_t files = 0;                     // inodes of its tree
  uint64_t content_bytes = 0;             // of its regular files
  uint64_t data_bytes = 0;                // of its data device: content and what fills its blocks
  Landmark landmark = Landmark::kNone;
  uint64_t prefetch_bytes = 0;  // stored bytes before the prefetch landmark
  uint64_t chunks = 0;
  uint64_t huge_chunks = 0;           // of more than estargz::kDefaultChunkBytes
  uint64_t largest_chunk_bytes = 0;   // of content: what is decoded for one byte of it
  uint64_t largest_member_bytes = 0;  // as stored: what is fetched for one byte
  bool lazy = false;
  std::string reason;  // why it would not be lazy; empty when it would
  std::string note;    // what lazy layers of this format ask of a client; mostly empty
};

struct ImageReport {
  std::string name;
  oci::Digest target;               // of what the name stands for
  oci::Digest manifest;             // of the manifest for the platform
  std::vector<LayerReport> layers;  // bottom first

  bool lazy() const;
  uint64_t size_bytes() const;  // of all layers, as stored
};

/// What `starlingd` would do with each layer of the image for `platform`, from its footer and TOC:
/// at most three requests a layer, no layer is downloaded. A layer that is not lazy is no error.
/// `toc_image` (borrowed, may be null) is asked for the TOCs of layers that have none.
/// Errors: the source's; kDataLoss when manifest or configuration break.
StatusOr<ImageReport> InspectImage(oci::ImageSource& source, const oci::Platform& platform,
                                   layer::TocImage* toc_image = nullptr);

}  // namespace starling::inspect
