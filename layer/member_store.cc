#include "layer/member_store.h"

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "layer/member_decoder.h"

namespace starling::layer {
namespace {

/// What the disk did not give so often is not written there again.
constexpr int kReadErrorsToAvoid = 2;

/// What two ranges have in common: an empty part of `of` when that is nothing, as with a chunk
/// whose record cannot be had any more.
DataRange Common(DataRange chunk, DataRange of) {
  const uint64_t from = std::clamp(chunk.data_address, of.data_address, of.end());
  const uint64_t to = std::clamp(chunk.end(), from, of.end());
  return {.data_address = from, .size_bytes = to - from};
}

bool IsIn(std::span<const SpilledChunk> spilled, uint32_t chunk) {
  return std::ranges::find(spilled, chunk, &SpilledChunk::chunk) != spilled.end();
}

}  // namespace

struct MemberStore::Decoded {
  DecodedBytes bytes;
  bool is_whole = false;  // nothing of the member is missing
};

bool IsAbsent(const store::StoredLayer& layer, const ChunkTable& table, uint32_t member) {
  return std::ranges::any_of(table.ChunksOf(member),
                             [&layer](uint32_t chunk) { return !layer.IsPresent(chunk); });
}

Status MemberOutcome::FirstDataLoss() const {
  if (error.code() == StatusCode::kDataLoss) {
    return error;
  }
  for (const auto& [chunk, status] : failed_chunks) {
    if (status.code() == StatusCode::kDataLoss) {
      return status;
    }
  }
  return OkStatus();
}

MemberOutcome MemberStore::Put(uint32_t member, ByteSpan compressed) {
  std::vector<uint32_t> absent;
  uint64_t decoded_bytes = 0;
  for (const uint32_t chunk : table_.ChunksOf(member)) {
    if (!stored_->IsPresent(chunk)) {
      const ChunkRecord& record = table_.chunks()[chunk];
      absent.push_back(chunk);
      decoded_bytes = std::max(decoded_bytes, record.inner_offset + record.size_bytes);
    }
  }
  MemberOutcome outcome;
  if (absent.empty()) {
    return outcome;
  }
  const StatusOr<Decoded> decoded = Decode(member, compressed, decoded_bytes);
  if (!decoded.ok()) {
    const Status& error = decoded.status();
    outcome.error =
        error.code() != StatusCode::kDataLoss
            ? error
            : MakeError(error.code(),
                        fmt::format("bytes with the digest {} do not decode to chunk {} with the "
                                    "digest {}: {}",
                                    oci::Digest::Of(compressed).ToString(), absent.front(),
                                    oci::Digest(table_.chunks()[absent.front()].digest).ToString(),
                                    MessageOf(error)));
    return outcome;
  }
  for (const uint32_t chunk : absent) {
    const ChunkRecord& record = table_.chunks()[chunk];
    const oci::Digest digest(record.digest);
    const ByteSpan bytes = decoded->bytes.span().subspan(record.inner_offset, record.size_bytes);
    Status status = IsAvoided(chunk) ? MakeError(StatusCode::kInternal, "layer: a broken disk")
                                     : stored_->Put(chunk, record.data_address, bytes, digest);
    // Whatever the disk has against it: readers need the bytes alone. Only what is proven leaves
    // this function, so the digest is asked here too.
    if (!status.ok() && status.code() != StatusCode::kDataLoss &&
        oci::Digest::Of(bytes) == digest) {
      outcome.spilled.push_back(
          {.chunk = chunk, .bytes = std::make_shared<Bytes>(bytes.begin(), bytes.end())});
    } else if (!status.ok()) {
      outcome.failed_chunks.emplace_back(chunk, std::move(status));
    }
  }
  if (decoded->is_whole && outcome.failed_chunks.empty() && outcome.spilled.empty()) {
    gaps_->Add(table_, member, decoded->bytes.span());
  }
  return outcome;
}

/// The first `wanted_bytes` of a member; all of it when its gaps are kept and that can be had.
StatusOr<MemberStore::Decoded> MemberStore::Decode(uint32_t member, ByteSpan compressed,
                                                   uint64_t wanted_bytes) const {
  if (gaps_) {
    if (StatusOr<DecodedBytes> whole = DecodeWholeMember(table_, member, compressed); whole.ok()) {
      return Decoded{.bytes = *std::move(whole), .is_whole = true};
    }
  }
  ASSIGN_OR_RETURN(DecodedBytes prefix, DecodeMember(table_, member, compressed, wanted_bytes));
  return Decoded{.bytes = std::move(prefix), .is_whole = false};
}

StatusOr<uint64_t> MemberStore::Copy(uint32_t member, const SharedChunks& shared) {
  uint64_t copied_bytes = 0;
  for (const uint32_t chunk : table_.ChunksOf(member)) {
    if (stored_->IsPresent(chunk)) {
      continue;
    }
    const ChunkRecord& record = table_.chunks()[chunk];
    if (stored_->IsDoubtful(chunk) &&
        stored_->Reclaim(chunk, record.data_address, record.size_bytes, oci::Digest(record.digest))
            .ok()) {
      continue;
    }
    if (!shared.Has(chunk)) {
      return MakeError(StatusCode::kNotFound, "layer: no other layer holds a chunk");
    }
    RETURN_IF_ERROR(shared.CopyTo(*stored_, table_, chunk));
    copied_bytes += record.size_bytes;
  }
  return copied_bytes;
}

bool MemberStore::HasAll(ChunkSpan chunks, std::span<const SpilledChunk> spilled) const {
  for (uint32_t chunk = chunks.first; chunk < chunks.last; ++chunk) {
    if (!stored_->IsPresent(chunk) && !IsIn(spilled, chunk)) {
      return false;
    }
  }
  return true;
}

StatusOr<bool> MemberStore::Read(DataRange range, ChunkSpan chunks,
                                 std::span<const SpilledChunk> spilled, std::span<std::byte> out) {
  uint64_t before = 0;
  do {
    before = stored_->evictions();
    if (!HasAll(chunks, spilled)) {
      return false;
    }
    if (const Status status = ReadHeld(range, chunks, spilled, out); !status.ok()) {
      return DistrustUnreadable(chunks, status) ? StatusOr<bool>(false) : status;
    }
  } while (stored_->evictions() != before);
  for (const SpilledChunk& part : spilled) {
    const DataRange chunk = table_.chunks()[part.chunk].range();
    const DataRange common = Common(chunk, range);
    std::memcpy(out.data() + (common.data_address - range.data_address),
                part.bytes->data() + (common.data_address - chunk.data_address), common.size_bytes);
  }
  return true;
}

/// Reads into `out`, of zeros, what of the range is on the disk, and nothing in the place of what
/// is not: it may be in memory because the disk does not give that.
Status MemberStore::ReadHeld(DataRange range, ChunkSpan chunks,
                             std::span<const SpilledChunk> spilled,
                             std::span<std::byte> out) const {
  if (spilled.empty()) {
    return stored_->Read(range.data_address, out);
  }
  for (uint32_t chunk = chunks.first; chunk < chunks.last; ++chunk) {
    if (IsIn(spilled, chunk)) {
      continue;
    }
    const DataRange held = Common(table_.chunks()[chunk].range(), range);
    RETURN_IF_ERROR(stored_->Read(
        held.data_address, out.subspan(held.data_address - range.data_address, held.size_bytes)));
  }
  return OkStatus();
}

/// Lets those of `chunks` be fetched again that the disk does not give. False when it gives all of
/// them: then `error` was of another kind.
bool MemberStore::DistrustUnreadable(ChunkSpan chunks, const Status& error) {
  if (!stored_->CheckFiles().ok()) {
    return false;
  }
  bool found = false;
  for (uint32_t chunk = chunks.first; chunk < chunks.last; ++chunk) {
    const ChunkRecord& record = table_.chunks()[chunk];
    Bytes bytes(record.size_bytes);
    if (!stored_->IsPresent(chunk) || stored_->Read(record.data_address, bytes).ok()) {
      continue;
    }
    {
      MutexLock lock(mutex_);
      ++read_errors_[chunk];
    }
    stored_->Distrust(chunk, record.size_bytes);
    log::Warning("the disk does not give a chunk: it is fetched again",
                 {{"layer", stored_->key().layer.ToString()},
                  {"chunk", fmt::format("{}", chunk)},
                  {"error", Describe(error)}});
    found = true;
  }
  return found;
}

bool MemberStore::IsAvoided(uint32_t chunk) const {
  MutexLock lock(mutex_);
  const auto errors = read_errors_.find(chunk);
  return errors != read_errors_.end() && errors->second >= kReadErrorsToAvoid;
}

}  // namespace starling::layer
