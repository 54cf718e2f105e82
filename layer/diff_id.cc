#include "layer/diff_id.h"

#include <algorithm>
#include <utility>

#include "base/io.h"
#include "estargz/decompress.h"

namespace starling::layer {
namespace {

constexpr uint64_t kPieceBytes = 4 << 20;
constexpr uint64_t kReadBytes = 1 << 20;
constexpr uint64_t kMinFetchBytes = 1 << 20;
constexpr uint64_t kFetchShare = 8;

Status CheckStopped(const DiffIdParts& parts) {
  return parts.is_stopped() ? MakeError(StatusCode::kCancelled, "diffID: stopped") : OkStatus();
}

/// A range of the blob, fetched in pieces.
class FetchedRange : public ByteSource {
 public:
  FetchedRange(const DiffIdParts& parts, oci::BlobRange range) : parts_(parts), left_(range) {}

  StatusOr<size_t> Read(std::span<std::byte> out) override {
    if (taken_ == piece_.size()) {
      if (left_.size_bytes == 0) {
        return size_t{0};
      }
      RETURN_IF_ERROR(CheckStopped(parts_));
      const oci::BlobRange next{.blob_offset = left_.blob_offset,
                                .size_bytes = std::min(left_.size_bytes, kPieceBytes)};
      ASSIGN_OR_RETURN(piece_, parts_.fetch(next));
      if (piece_.size() != next.size_bytes) {
        return MakeError(StatusCode::kDataLoss, "diffID: a range of the wrong size arrived");
      }
      if (std::exchange(is_first_, false) && !estargz::IsCompressed(piece_)) {
        // It would be taken for a tar that is not compressed.
        return MakeError(StatusCode::kDataLoss,
                         fmt::format("diffID: nothing that is compressed begins at {} of the blob",
                                     next.blob_offset));
      }
      taken_ = 0;
      left_ = {.blob_offset = next.end(), .size_bytes = left_.end() - next.end()};
    }
    const ByteSpan taken =
        ByteSpan(piece_).subspan(taken_, std::min(out.size(), piece_.size() - taken_));
    std::ranges::copy(taken, out.begin());
    taken_ += taken.size();
    return taken.size();
  }

 private:
  const DiffIdParts& parts_;
  oci::BlobRange left_;
  bool is_first_ = true;
  Bytes piece_;
  size_t taken_ = 0;
};

/// Hashes the tar as it goes through the blob.
class DiffIdWalk {
 public:
  explicit DiffIdWalk(const DiffIdParts& parts) : parts_(parts), buffer_(kReadBytes) {}

  StatusOr<oci::Digest> Run() {
    const std::span<const MemberRecord> members = parts_.table.members();
    RETURN_IF_ERROR(CheckMissing());
    uint64_t done_to = 0;  // in the blob; what lies before the next held member is fetched
    for (uint32_t member = 0; member < members.size(); ++member) {
      if (!parts_.gaps.Has(member)) {
        continue;
      }
      RETURN_IF_ERROR(CheckStopped(parts_));
      const StatusOr<Bytes> gaps = parts_.gaps.Read(member);
      if (!gaps.ok()) {
        continue;  // as if nothing had been kept
      }
      RETURN_IF_ERROR(HashFetched(done_to, members[member].blob_offset));
      RETURN_IF_ERROR(HashHeld(member, *gaps));
      done_to = members[member].end();
    }
    RETURN_IF_ERROR(HashFetched(done_to, parts_.table.blob_size_bytes()));
    return hash_.Finish();
  }

 private:
  /// Before anything is read or fetched in vain.
  Status CheckMissing() const {
    uint64_t missing = parts_.table.blob_size_bytes();
    for (uint32_t member = 0; member < parts_.table.members().size(); ++member) {
      if (parts_.gaps.Has(member)) {
        missing -= parts_.table.members()[member].blob_size;
      }
    }
    return CheckBudget(missing);
  }

  Status CheckBudget(uint64_t bytes) const {
    const uint64_t limit = MaxDiffIdFetchBytes(parts_.table.blob_size_bytes());
    if (bytes <= limit) {
      return OkStatus();
    }
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("diffID: {} bytes of the blob were not kept, and at most {} are "
                                 "fetched again for it",
                                 bytes, limit));
  }

  Status HashFetched(uint64_t blob_offset, uint64_t blob_end) {
    if (blob_offset == blob_end) {
      return OkStatus();
    }
    fetched_bytes_ += blob_end - blob_offset;
    RETURN_IF_ERROR(CheckBudget(fetched_bytes_));
    FetchedRange range(parts_, {.blob_offset = blob_offset, .size_bytes = blob_end - blob_offset});
    estargz::DecompressedTar tar(range);
    for (;;) {
      ASSIGN_OR_RETURN(const size_t size, tar.Read(buffer_));
      if (size == 0) {
        return OkStatus();
      }
      hash_.Update(ByteSpan(buffer_).first(size));
    }
  }

  /// The member's gaps with its chunks between them.
  Status HashHeld(uint32_t member, ByteSpan gaps) {
    uint64_t inner_offset = 0;
    for (const uint32_t number : parts_.table.ChunksOf(member)) {
      const ChunkRecord& chunk = parts_.table.chunks()[number];
      if (chunk.inner_offset > inner_offset) {
        const uint64_t gap_bytes = chunk.inner_offset - inner_offset;
        if (gap_bytes > gaps.size()) {
          return MakeError(StatusCode::kDataLoss, "diffID: the kept gaps are of another member");
        }
        hash_.Update(gaps.first(gap_bytes));
        gaps = gaps.subspan(gap_bytes);
        inner_offset = chunk.inner_offset;
      }
      const uint64_t known_bytes = inner_offset - chunk.inner_offset;
      if (known_bytes < chunk.size_bytes) {
        RETURN_IF_ERROR(HashData(chunk.data_address + known_bytes, chunk.size_bytes - known_bytes));
        inner_offset = chunk.inner_offset + chunk.size_bytes;
      }
    }
    hash_.Update(gaps);
    return OkStatus();
  }

  Status HashData(uint64_t data_address, uint64_t size_bytes) {
    while (size_bytes > 0) {
      RETURN_IF_ERROR(CheckStopped(parts_));
      const std::span<std::byte> out =
          std::span(buffer_).first(std::min<uint64_t>(size_bytes, buffer_.size()));
      RETURN_IF_ERROR(parts_.stored.Read(data_address, out));
      hash_.Update(out);
      data_address += out.size();
      size_bytes -= out.size();
    }
    return OkStatus();
  }

  const DiffIdParts& parts_;
  oci::Sha256 hash_;
  Bytes buffer_;
  uint64_t fetched_bytes_ = 0;
};

}  // namespace

uint64_t MaxDiffIdFetchBytes(uint64_t blob_size_bytes) {
  return std::max(kMinFetchBytes, blob_size_bytes / kFetchShare);
}

bool HasDiffId(const ChunkTable& table) {
  return table.codec() == Codec::kGzip || table.codec() == Codec::kZstd;
}

StatusOr<oci::Digest> ComputeDiffId(const DiffIdParts& parts) {
  if (!HasDiffId(parts.table)) {
    return MakeError(StatusCode::kFailedPrecondition,
                     "diffID: not computed for layers without a table of contents of their own");
  }
  const uint64_t evictions = parts.stored.evictions();
  StatusOr<oci::Digest> diff_id = DiffIdWalk(parts).Run();
  if (!parts.stored.complete() || parts.stored.evictions() != evictions) {
    // What was read may have been a hole.
    return MakeError(StatusCode::kFailedPrecondition, "diffID: a part of the layer was evicted");
  }
  return diff_id;
}

}  // namespace starling::layer
