#pragma once

#include <optional>

#include "estargz/footer.h"
#include "estargz/layer_tree.h"
#include "estargz/toc.h"
#include "layer/lazy_layer.h"
#include "layer/toc_image.h"
#include "oci/blob_reader.h"
#include "oci/toc_digest.h"

namespace starling::layer {

/// The last bytes of a blob that the first request brings, at most. The TOC of a layer of a few
/// hundred files is in them, so opening such a layer costs one request.
inline constexpr uint64_t kTailBytes = 256 << 10;

/// What a layer's TOC must be, and where to find one that the blob does not have.
struct WantedToc {
  oci::Digest layer;                       // of the blob
  std::optional<oci::TocDigest> promised;  // nothing: the caller looks at the digests
  TocImage* toc_image = nullptr;           // borrowed; null when none is known
};

/// A blob's TOC as it came.
struct FetchedToc {
  estargz::TocJson json;
  oci::Digest compressed_digest;  // of the bytes that it was unpacked from
  estargz::Footer footer;
};

/// Finds and unpacks the TOC of a blob from its tail on, which has its footer, and compares it with
/// what was promised before anything trusts it. Blocks for one request when the TOC begins before
/// the tail, for two when it is in another image.
/// Errors: kNotFound when the blob is no layer of a lazy format; kUnimplemented for the old stargz,
/// which cannot be verified; kFailedPrecondition when the TOC is elsewhere and no image was given;
/// kDataLoss for another TOC than promised, or a broken one; kResourceExhausted beyond a limit;
/// else those of the reader and of the image.
StatusOr<FetchedToc> FetchToc(const oci::OpenedBlob& blob, const WantedToc& wanted,
                              const estargz::TocLimits& limits, FetchCounters& counters);

/// The tree that the TOC describes.
StatusOr<estargz::LayerTree> BuildTree(FetchedToc toc, const estargz::TocLimits& limits);

}  // namespace starling::layer
