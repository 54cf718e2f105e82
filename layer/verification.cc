#include "layer/verification.h"

#include <algorithm>

#include "layer/chunk_runs.h"

namespace starling::layer {
namespace {

/// Whether the chunk is what it should be, or not held (any more).
bool IsRight(store::StoredLayer& layer, uint32_t chunk, const ChunkRecord& record) {
  const oci::Digest digest(record.digest);
  if (layer.IsDoubtful(chunk)) {
    // It was not counted on, so it is not wrong either way.
    (void)layer.Reclaim(chunk, record.data_address, record.size_bytes, digest);
    return true;
  }
  Bytes bytes(record.size_bytes);
  uint64_t before = 0;
  bool is_right = false;
  do {
    before = layer.evictions();
    is_right = !layer.IsPresent(chunk) || (layer.ReadFromDisk(record.data_address, bytes).ok() &&
                                           oci::Digest::Of(bytes) == digest);
  } while (layer.evictions() != before);
  return is_right;
}

}  // namespace

StatusOr<std::vector<uint32_t>> VerifyHeld(store::StoredLayer& layer, const ChunkTable& table,
                                           const std::function<bool(uint64_t bytes)>& on_checked) {
  const std::span<const ChunkRecord> chunks = table.chunks();
  std::vector<uint32_t> wrong;
  bool goes_on = true;
  for (uint32_t chunk = 0; chunk < chunks.size() && goes_on; ++chunk) {
    if (!layer.IsPresent(chunk) && !layer.IsDoubtful(chunk)) {
      continue;
    }
    if (!IsRight(layer, chunk, chunks[chunk])) {
      wrong.push_back(chunk);
    }
    goes_on = on_checked(chunks[chunk].size_bytes);
  }
  if (!wrong.empty()) {
    const auto runs = RunsOf(
        table, [&wrong](uint32_t chunk) { return std::ranges::binary_search(wrong, chunk); });
    RETURN_IF_ERROR(layer.Drop(runs, ChunkBytesOf(table)));
  }
  if (!goes_on) {
    return MakeError(StatusCode::kCancelled, "the verification was stopped");
  }
  return wrong;
}

}  // namespace starling::layer
