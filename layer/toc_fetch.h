#pragma once

#include "estargz/footer.h"
#include "estargz/layer_tree.h"
#include "estargz/toc.h"
#include "layer/lazy_layer.h"
#include "oci/blob_reader.h"

namespace starling::layer {

/// The last bytes of a blob that the first request brings. The TOC of a layer of a few hundred
/// files is in them, so opening such a layer costs one request.
inline constexpr uint64_t kTailBytes = 256 << 10;

/// A blob's TOC as it came: of the right form, its digest not compared with anything yet.
struct FetchedToc {
  estargz::TocJson json;
  estargz::Footer footer;
};

/// Finds and unpacks the TOC of a blob whose tail has kTailBytes or all of it. Blocks for one
/// request when the TOC begins before the tail. Errors: kNotFound when the blob is no eStargz
/// layer; kUnimplemented for the old stargz, which cannot be verified; kDataLoss;
/// kResourceExhausted beyond a limit; else the reader's.
StatusOr<FetchedToc> FetchToc(const oci::OpenedBlob& blob, const estargz::TocLimits& limits,
                              FetchCounters& counters);

/// The tree that the TOC describes.
StatusOr<estargz::LayerTree> BuildTree(FetchedToc toc, const estargz::TocLimits& limits);

}  // namespace starling::layer
