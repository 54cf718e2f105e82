#include "store/stored_layer_state.h"

namespace starling::store {

StoredLayer::StoredLayer(std::unique_ptr<State> state) : state_(std::move(state)) {}

StoredLayer::~StoredLayer() {
  const MutexLock lock(state_->checkpoint_mutex);
  if (state_->removed) {
    state_->room->Give(present_bytes());  // now its files have gone from the disk, too
  }
}

const LayerKey& StoredLayer::key() const { return state_->directory.record.key; }

const LayerInfo& StoredLayer::info() const { return state_->directory.record.info; }

ByteSpan StoredLayer::index() const { return state_->directory.index.bytes(); }

ByteSpan StoredLayer::chunk_table() const { return state_->directory.chunk_table.bytes(); }

bool StoredLayer::IsPresent(uint64_t chunk) const {
  const PresenceMap& present = *state_->directory.present;
  return chunk < present.chunk_count() && present.IsSet(chunk);
}

Status StoredLayer::CheckPlace(uint64_t chunk, uint64_t data_address, uint64_t size_bytes) const {
  if (chunk >= info().chunk_count) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("chunk {} of a layer with {}", chunk, info().chunk_count));
  }
  if (data_address > info().data_size_bytes || size_bytes > info().data_size_bytes - data_address) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("chunk {}: {} bytes at {} go beyond the layer's {}", chunk,
                                 size_bytes, data_address, info().data_size_bytes));
  }
  return OkStatus();
}

Status StoredLayer::Verify(uint64_t chunk, ByteSpan bytes, const oci::Digest& digest) const {
  if (const oci::Digest actual = oci::Digest::Of(bytes); actual != digest) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("chunk {} of layer {} has digest {}, but its TOC says {}", chunk,
                                 key().layer.ToString(), actual.ToString(), digest.ToString()));
  }
  return OkStatus();
}

Status StoredLayer::Write(uint64_t data_address, ByteSpan bytes) {
  return Annotate(
      state_->files.WriteAt(state_->directory.data_for_writing.get(), data_address, bytes),
      data_path().string());
}

Status StoredLayer::Put(uint64_t chunk, uint64_t data_address, ByteSpan bytes,
                        const oci::Digest& digest) {
  RETURN_IF_ERROR(CheckPlace(chunk, data_address, bytes.size()));
  if (IsPresent(chunk)) {
    return OkStatus();
  }
  RETURN_IF_ERROR(Verify(chunk, bytes, digest));
  RETURN_IF_ERROR(state_->room->Take(bytes.size()));
  const SharedMutexLock lock(state_->data_mutex);
  const Status written = Write(data_address, bytes);
  return Mark(chunk, bytes.size(), written);
}

/// Ends a put: what was taken of the room stays taken if that is why the chunk is present now.
Status StoredLayer::Mark(uint64_t chunk, uint64_t size_bytes, const Status& written) {
  if (!written.ok() || !state_->directory.present->Set(chunk, size_bytes)) {
    state_->room->Give(size_bytes);
  }
  if (written.code() == StatusCode::kResourceExhausted) {
    state_->room->NoteDiskFull();
  }
  return written;
}

Status StoredLayer::PutShared(uint64_t chunk, uint64_t data_address, uint64_t size_bytes,
                              const oci::Digest& digest, const ChunkPlace& donor) {
  RETURN_IF_ERROR(CheckPlace(chunk, data_address, size_bytes));
  if (IsPresent(chunk)) {
    return OkStatus();
  }
  const uint64_t evictions = donor.layer.evictions();
  const auto is_held = [&]() -> Status {
    return donor.layer.IsPresent(donor.chunk) && donor.layer.evictions() == evictions
               ? OkStatus()
               : MakeError(StatusCode::kNotFound,
                           fmt::format("layer {} does not hold chunk {}",
                                       donor.layer.key().layer.ToString(), donor.chunk));
  };
  RETURN_IF_ERROR(is_held());
  Bytes bytes(size_bytes);
  RETURN_IF_ERROR(donor.layer.Read(donor.data_address, bytes));
  RETURN_IF_ERROR(Verify(chunk, bytes, digest));
  RETURN_IF_ERROR(state_->room->Take(size_bytes));
  const SharedMutexLock lock(state_->data_mutex);
  const auto write = [&]() -> Status {
    ASSIGN_OR_RETURN(const uint64_t shared, ShareBlocks(data_address, size_bytes, donor));
    RETURN_IF_ERROR(Write(data_address + shared, ByteSpan(bytes).subspan(shared)));
    // What was shared is what was verified if it was held all the time.
    return is_held();
  };
  return Mark(chunk, size_bytes, write());
}

/// Shares the whole blocks of a chunk. How many bytes that were: none where it is not possible.
StatusOr<uint64_t> StoredLayer::ShareBlocks(uint64_t data_address, uint64_t size_bytes,
                                            const ChunkPlace& donor) {
  const uint64_t shared = size_bytes / kBlockBytes * kBlockBytes;
  if (shared == 0 || data_address % kBlockBytes != 0 || donor.data_address % kBlockBytes != 0 ||
      !state_->can_share_blocks) {
    return 0;
  }
  const Status status =
      state_->files.CloneRange(donor.layer.data_fd(), donor.data_address,
                               state_->directory.data_for_writing.get(), data_address, shared);
  if (status.code() == StatusCode::kUnimplemented) {
    state_->can_share_blocks = false;
    return 0;
  }
  RETURN_IF_ERROR(Annotate(status, data_path().string()));
  return shared;
}

StatusOr<uint64_t> StoredLayer::Evict(std::span<const ChunkRun> runs,
                                      const ChunkBytes& chunk_bytes) {
  const MutexLock checkpoint_lock(state_->checkpoint_mutex);
  LayerDirectory& directory = state_->directory;
  if (state_->pinned || state_->removed) {
    return 0;
  }
  RETURN_IF_ERROR(directory.ForgetSynced(state_->files, runs, chunk_bytes));
  uint64_t evicted_bytes = 0;
  for (const ChunkRun& run : runs) {
    const ExclusiveMutexLock lock(state_->data_mutex);
    uint64_t run_bytes = 0;
    for (uint64_t chunk = run.first_chunk; chunk < run.last_chunk; ++chunk) {
      const uint64_t size_bytes = chunk_bytes(chunk);
      run_bytes += directory.present->Clear(chunk, size_bytes) ? size_bytes : 0;
    }
    state_->evictions.fetch_add(1);
    const Status punched =
        state_->files.PunchHole(directory.data_for_writing.get(), run.data_address, run.size_bytes);
    state_->room->Give(run_bytes);
    evicted_bytes += run_bytes;
    RETURN_IF_ERROR(Annotate(punched, data_path().string()));
  }
  return evicted_bytes;
}

uint64_t StoredLayer::evictions() const { return state_->evictions.load(); }

bool StoredLayer::PinIfComplete() {
  const MutexLock lock(state_->checkpoint_mutex);
  state_->pinned = state_->pinned || complete();
  return state_->pinned;
}

Status StoredLayer::Read(uint64_t data_address, std::span<std::byte> out) const {
  return Annotate(state_->files.ReadAt(state_->directory.data_for_reading.get(), data_address, out),
                  data_path().string());
}

int StoredLayer::data_fd() const { return state_->directory.data_for_reading.get(); }

std::filesystem::path StoredLayer::directory() const { return state_->directory.path; }

std::filesystem::path StoredLayer::index_path() const {
  return state_->directory.path / kIndexFile;
}

std::filesystem::path StoredLayer::data_path() const { return state_->directory.path / kDataFile; }

uint64_t StoredLayer::present_bytes() const { return state_->directory.present->present_bytes(); }

bool StoredLayer::complete() const {
  return state_->directory.present->present_count() == info().chunk_count;
}

Status StoredLayer::Checkpoint() {
  const MutexLock lock(state_->checkpoint_mutex);
  // The path may be another layer's by now, and nobody will open this one again.
  if (state_->removed) {
    return OkStatus();
  }
  return state_->directory.Checkpoint(state_->files);
}

}  // namespace starling::store
