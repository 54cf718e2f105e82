#pragma once

#include <vector>

#include "estargz/layer_tree.h"
#include "estargz/toc.h"

namespace starling::estargz {

/// Where the content of each file of a TOC is stored.
struct ChunkMap {
  struct Range {
    uint32_t first = 0;  // in `chunks`
    uint32_t count = 0;
  };
  std::vector<Chunk> chunks;  // in the order of the TOC, which is that of the blob
  std::vector<Range> files;   // one for each entry of the TOC; empty for all but regular files
};

/// Checks that the chunks of each file follow its entry, cover it exactly and carry a digest (a
/// hole needs none), that members neither overlap nor leave the payload [0, payload_end), and finds
/// where each ends: where the next one that is no hole starts. Errors: kDataLoss names the entry;
/// kResourceExhausted names the limit.
StatusOr<ChunkMap> MapChunks(const std::vector<TocEntry>& entries, uint64_t payload_end,
                             const TocLimits& limits);

}  // namespace starling::estargz
