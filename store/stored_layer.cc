#include <fcntl.h>

#include "store/stored_layer_state.h"

namespace starling::store {

namespace {

constexpr uint64_t kWordBits = 64;

/// What a chunk takes of the disk at most, when it begins with a block.
uint64_t BlockBytes(uint64_t size_bytes) {
  return (size_bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
}

}  // namespace

StoredLayer::StoredLayer(std::unique_ptr<State> state) : state_(std::move(state)) {
  const Bytes& doubtful = state_->directory.doubtful;
  state_->doubtful_count = CountPresent(doubtful);
  if (state_->doubtful_count == 0) {
    return;
  }
  state_->doubtful =
      std::vector<std::atomic<uint64_t>>((info().chunk_count + kWordBits - 1) / kWordBits);
  for (uint64_t chunk = 0; chunk < info().chunk_count; ++chunk) {
    if (PresenceMap::Has(doubtful, chunk)) {
      state_->doubtful[chunk / kWordBits].fetch_or(uint64_t{1} << chunk % kWordBits);
    }
  }
}

StoredLayer::~StoredLayer() = default;

const LayerKey& StoredLayer::key() const { return state_->directory.record.key; }

const LayerInfo& StoredLayer::info() const { return state_->directory.record.info; }

ByteSpan StoredLayer::index() const { return state_->directory.index.bytes(); }

ByteSpan StoredLayer::chunk_table() const { return state_->directory.chunk_table.bytes(); }

Status StoredLayer::CheckFiles() const {
  const std::string_view damaged = state_->directory.DamagedFile();
  return damaged.empty()
             ? OkStatus()
             : MakeError(StatusCode::kInternal,
                         fmt::format("the disk does not give all of {}: the layer cannot be read "
                                     "until it is mounted anew",
                                     (directory() / damaged).string()));
}

void StoredLayer::TouchFiles() const {
  for (const ByteSpan file : {index(), chunk_table()}) {
    for (size_t at = 0; at < file.size(); at += kBlockBytes) {
      static_cast<void>(*static_cast<const volatile std::byte*>(file.data() + at));
    }
  }
}

bool StoredLayer::IsPresent(uint64_t chunk) const {
  const PresenceMap& present = *state_->directory.present;
  return chunk < present.chunk_count() &&
         (present.IsSet(chunk) || !state_->directory.DamagedFile().empty());
}

/// What is to be put was read from the chunk table: so CheckFiles is asked, too.
Status StoredLayer::CheckPlace(uint64_t chunk, uint64_t data_address, uint64_t size_bytes) const {
  RETURN_IF_ERROR(CheckFiles());
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
  const Status put = PutTaken(data_address, bytes, chunk);
  state_->room->room().Tell();
  return put;
}

Status StoredLayer::PutTaken(uint64_t data_address, ByteSpan bytes, uint64_t chunk) {
  // Taken under the lock, so that whoever counts blocks sees what was taken as written.
  const SharedMutexLock lock(state_->data_mutex);
  RETURN_IF_ERROR(state_->room->Take(BlockBytes(bytes.size())));
  const Status written = Write(data_address, bytes);
  return Mark(chunk, bytes.size(), written);
}

/// Ends a put: what was taken of the room stays taken if that is why the chunk is present now.
Status StoredLayer::Mark(uint64_t chunk, uint64_t size_bytes, const Status& written) {
  if (!written.ok() || !state_->directory.present->Set(chunk, size_bytes)) {
    state_->room->Give(BlockBytes(size_bytes));
  } else {
    EndDoubt(chunk);
  }
  if (written.code() == StatusCode::kResourceExhausted) {
    state_->room->room().NoteDiskFull();
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
  const auto write = [&]() -> Status {
    ASSIGN_OR_RETURN(const uint64_t shared, ShareBlocks(data_address, size_bytes, donor));
    RETURN_IF_ERROR(Write(data_address + shared, ByteSpan(bytes).subspan(shared)));
    // What was shared is what was verified if it was held all the time.
    return is_held();
  };
  const auto put = [&]() -> Status {
    const SharedMutexLock lock(state_->data_mutex);
    RETURN_IF_ERROR(state_->room->Take(BlockBytes(size_bytes)));
    return Mark(chunk, size_bytes, write());
  };
  const Status status = put();
  state_->room->room().Tell();
  return status;
}

bool StoredLayer::IsDoubtful(uint64_t chunk) const {
  return chunk / kWordBits < state_->doubtful.size() &&
         (state_->doubtful[chunk / kWordBits].load(std::memory_order_relaxed) >> chunk % kWordBits &
          1) != 0;
}

uint64_t StoredLayer::doubtful_count() const { return state_->doubtful_count.load(); }

/// False if it was not doubtful.
bool StoredLayer::EndDoubt(uint64_t chunk) {
  if (!IsDoubtful(chunk)) {
    return false;
  }
  const uint64_t bit = uint64_t{1} << chunk % kWordBits;
  if ((state_->doubtful[chunk / kWordBits].fetch_and(~bit) & bit) == 0) {
    return false;
  }
  state_->doubtful_count.fetch_sub(1);
  return true;
}

Status StoredLayer::Reclaim(uint64_t chunk, uint64_t data_address, uint64_t size_bytes,
                            const oci::Digest& digest) {
  RETURN_IF_ERROR(CheckPlace(chunk, data_address, size_bytes));
  Bytes bytes(size_bytes);
  // Nothing is given up meanwhile. Its blocks are counted already.
  const SharedMutexLock lock(state_->data_mutex);
  if (IsPresent(chunk)) {
    return OkStatus();
  }
  if (!IsDoubtful(chunk) || !Read(data_address, bytes).ok() || oci::Digest::Of(bytes) != digest) {
    EndDoubt(chunk);
    return MakeError(StatusCode::kNotFound, fmt::format("a loss of power took chunk {} of layer {}",
                                                        chunk, key().layer.ToString()));
  }
  state_->directory.present->Set(chunk, size_bytes);
  EndDoubt(chunk);
  return OkStatus();
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
  return GiveUp(runs, chunk_bytes, Pinned::kStays);
}

Status StoredLayer::Drop(std::span<const ChunkRun> runs, const ChunkBytes& chunk_bytes) {
  return GiveUp(runs, chunk_bytes, Pinned::kLosesMarks).status();
}

StatusOr<uint64_t> StoredLayer::GiveUp(std::span<const ChunkRun> runs,
                                       const ChunkBytes& chunk_bytes, Pinned pinned) {
  const MutexLock checkpoint_lock(state_->checkpoint_mutex);
  LayerDirectory& directory = state_->directory;
  if (state_->removed || (state_->pinned && pinned == Pinned::kStays)) {
    return 0;
  }
  RETURN_IF_ERROR(CheckFiles());  // the runs were found in the chunk table
  RETURN_IF_ERROR(directory.ForgetSynced(state_->files, runs, chunk_bytes));
  if (directory.present->is_damaged()) {
    RETURN_IF_ERROR(directory.ForgetPresent(state_->files));
  }
  uint64_t evicted_bytes = 0;
  for (const ChunkRun& run : runs) {
    const ExclusiveMutexLock lock(state_->data_mutex);
    uint64_t run_bytes = 0;
    for (uint64_t chunk = run.first_chunk; chunk < run.last_chunk; ++chunk) {
      const uint64_t size_bytes = chunk_bytes(chunk);
      const bool was_doubtful = EndDoubt(chunk);
      run_bytes += directory.present->Clear(chunk, size_bytes) || was_doubtful ? size_bytes : 0;
    }
    state_->evictions.fetch_add(1);
    evicted_bytes += run_bytes;
    if (!state_->pinned) {
      RETURN_IF_ERROR(Annotate(state_->files.PunchHole(directory.data_for_writing.get(),
                                                       run.data_address, run.size_bytes),
                               data_path().string()));
    }
  }
  Recount();
  return evicted_bytes;
}

void StoredLayer::Distrust(uint64_t chunk, uint64_t size_bytes) {
  if (chunk < info().chunk_count) {
    state_->directory.present->Clear(chunk, size_bytes);
  }
}

/// Asks the file system what the layer takes, in place of what was reckoned.
void StoredLayer::Recount() {
  const ExclusiveMutexLock lock(state_->data_mutex);
  state_->room->Set(DiskBytes(directory()));
}

uint64_t StoredLayer::evictions() const { return state_->evictions.load(); }

bool StoredLayer::PinIfComplete() {
  const MutexLock lock(state_->checkpoint_mutex);
  // What was dropped of a pinned layer must not be shown to anybody else.
  state_->pinned = state_->pinned || complete();
  return state_->pinned && complete();
}

void StoredLayer::Pin() {
  const MutexLock lock(state_->checkpoint_mutex);
  state_->pinned = true;
}

bool StoredLayer::is_pinned() const {
  const MutexLock lock(state_->checkpoint_mutex);
  return state_->pinned;
}

Status StoredLayer::Read(uint64_t data_address, std::span<std::byte> out) const {
  RETURN_IF_ERROR(
      Annotate(state_->reader.Read(data_fd(), data_address, out), data_path().string()));
  // Afterwards: `data_address` was found in the chunk table or the index.
  return CheckFiles();
}

void StoredLayer::ReadAhead(uint64_t data_address, uint64_t size_bytes) const {
  state_->files.ReadAhead(data_fd(), data_address, size_bytes);
}

void StoredLayer::ReadFilesAhead() const { state_->directory.ReadFilesAhead(state_->files); }

Status StoredLayer::ReadFromDisk(uint64_t data_address, std::span<std::byte> out) const {
  // Whole pages only; what is still to be written stays, as it should.
  const uint64_t begin = data_address / kBlockBytes * kBlockBytes;
  ::posix_fadvise(data_fd(), static_cast<off_t>(begin),
                  static_cast<off_t>(BlockBytes(data_address + out.size()) - begin),
                  POSIX_FADV_DONTNEED);
  RETURN_IF_ERROR(
      Annotate(state_->files.ReadAt(data_fd(), data_address, out), data_path().string()));
  return CheckFiles();
}

int StoredLayer::data_fd() const { return state_->directory.data_for_reading.get(); }

std::filesystem::path StoredLayer::directory() const { return state_->directory.path; }

std::filesystem::path StoredLayer::index_path() const {
  return state_->directory.path / kIndexFile;
}

std::filesystem::path StoredLayer::data_path() const { return state_->directory.path / kDataFile; }

uint64_t StoredLayer::present_bytes() const { return state_->directory.present->present_bytes(); }

uint64_t StoredLayer::disk_bytes() const { return state_->room->bytes(); }

bool StoredLayer::complete() const {
  return state_->directory.present->present_count() == info().chunk_count &&
         state_->directory.DamagedFile().empty();
}

Status StoredLayer::Checkpoint() {
  LayerDirectory& directory = state_->directory;
  {
    const MutexLock lock(state_->checkpoint_mutex);
    // The path may be another layer's by now, and nobody will open this one again.
    if (state_->removed || directory.present->Snapshot() == directory.synced) {
      return OkStatus();
    }
  }
  // Without the lock: who pins the layer or evicts of it need not wait for all of the data.
  const uint64_t evictions_before = evictions();
  ASSIGN_OR_RETURN(Bytes chunks, directory.SyncChunks(state_->files));
  {
    const MutexLock lock(state_->checkpoint_mutex);
    if (state_->removed) {
      return OkStatus();
    }
    if (evictions() != evictions_before) {
      // A chunk that was given up and put again has the same bit and other bytes.
      ASSIGN_OR_RETURN(chunks, directory.SyncChunks(state_->files));
    }
    RETURN_IF_ERROR(directory.NoteSynced(state_->files, std::move(chunks)));
    if (!state_->doubtful.empty() && doubtful_count() == 0) {
      LayerDirectory::ForgetDoubtful(directory.path);
    }
    Recount();
  }
  return OkStatus();
}

}  // namespace starling::store
