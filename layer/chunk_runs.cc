#include "layer/chunk_runs.h"

#include "erofs/format.h"
#include "erofs/image_writer.h"

namespace starling::layer {
namespace {

/// Others wait for the data file while a run is given up.
constexpr uint64_t kMaxRunBytes = 8 << 20;

}  // namespace

std::vector<store::ChunkRun> RunsOf(const ChunkTable& table,
                                    const std::function<bool(uint32_t chunk)>& is_wanted,
                                    uint64_t wanted_bytes) {
  const std::span<const ChunkRecord> chunks = table.chunks();
  std::vector<store::ChunkRun> runs;
  uint64_t found_bytes = 0;
  for (uint32_t chunk = 0; chunk < chunks.size() && found_bytes < wanted_bytes; ++chunk) {
    if (!is_wanted(chunk)) {
      continue;
    }
    const ChunkRecord& record = chunks[chunk];
    const uint64_t block_end = erofs::format::RoundUp(record.range().end(), erofs::kBlockBytes);
    const bool has_block =
        chunk + 1 == chunks.size() || chunks[chunk + 1].data_address >= block_end;
    const uint64_t end = has_block ? block_end : record.range().end();
    if (runs.empty() || runs.back().last_chunk != chunk || runs.back().size_bytes >= kMaxRunBytes) {
      runs.push_back({.first_chunk = chunk, .data_address = record.data_address});
    }
    runs.back().last_chunk = chunk + 1;
    runs.back().size_bytes = end - runs.back().data_address;
    found_bytes += record.size_bytes;
  }
  return runs;
}

store::ChunkBytes ChunkBytesOf(const ChunkTable& table) {
  return [chunks = table.chunks()](uint64_t chunk) { return chunks[chunk].size_bytes; };
}

}  // namespace starling::layer
