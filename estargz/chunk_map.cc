#include "estargz/chunk_map.h"

#include <optional>

namespace starling::estargz {
namespace {

class ChunkMapper {
 public:
  ChunkMapper(const std::vector<TocEntry>& entries, uint64_t payload_end, const TocLimits& limits)
      : entries_(entries), payload_end_(payload_end), limits_(limits) {}

  StatusOr<ChunkMap> Map() {
    map_.files.resize(entries_.size());
    map_.chunks.reserve(entries_.size());
    for (number_ = 0; number_ < entries_.size(); ++number_) {
      const TocEntry& entry = entries_[number_];
      if (entry.type == EntryType::kChunk) {
        if (!file_) {
          return Broken("a chunk that follows no file");
        }
        RETURN_IF_ERROR(AddChunk(entry));
        continue;
      }
      RETURN_IF_ERROR(FinishFile());
      if (entry.type == EntryType::kRegular) {
        RETURN_IF_ERROR(StartFile(entry));
      }
    }
    RETURN_IF_ERROR(FinishFile());
    SetBlobSizes();
    return std::move(map_);
  }

 private:
  Status Fail(StatusCode code, std::string_view how) const {
    return MakeError(code, fmt::format("TOC: entry {}, \"{}\": {}", number_,
                                       entries_[number_].name.substr(0, 200), how));
  }
  Status Broken(std::string_view how) const { return Fail(StatusCode::kDataLoss, how); }

  Status StartFile(const TocEntry& entry) {
    if (entry.size_bytes > limits_.file_bytes) {
      return Fail(StatusCode::kResourceExhausted,
                  fmt::format("the file has more than {} bytes", limits_.file_bytes));
    }
    layer_bytes_ += entry.size_bytes;
    if (layer_bytes_ > limits_.layer_bytes) {
      return Fail(StatusCode::kResourceExhausted,
                  fmt::format("the layer has more than {} bytes", limits_.layer_bytes));
    }
    file_ = static_cast<uint32_t>(number_);
    covered_bytes_ = 0;
    map_.files[number_].first = static_cast<uint32_t>(map_.chunks.size());
    return entry.size_bytes == 0 ? OkStatus() : AddChunk(entry);
  }

  Status FinishFile() {
    if (file_ && covered_bytes_ != entries_[*file_].size_bytes) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("TOC: entry {}, \"{}\": its chunks end after {} of {} bytes",
                                   *file_, entries_[*file_].name.substr(0, 200), covered_bytes_,
                                   entries_[*file_].size_bytes));
    }
    file_.reset();
    return OkStatus();
  }

  /// `entry` is the file itself, for its first chunk, or a chunk entry.
  Status AddChunk(const TocEntry& entry) {
    const TocEntry& file = entries_[*file_];
    const uint64_t left = file.size_bytes - covered_bytes_;
    if (left == 0) {
      return Broken("a chunk behind the end of its file");
    }
    if (entry.chunk_offset != covered_bytes_) {
      return Broken(fmt::format("the chunk starts at {}, the one before ends at {}",
                                entry.chunk_offset, covered_bytes_));
    }
    const uint64_t size_bytes = entry.chunk_size_bytes == 0 ? left : entry.chunk_size_bytes;
    if (size_bytes > left) {
      return Broken("the chunk is larger than the rest of its file");
    }
    if (size_bytes > limits_.chunk_bytes) {
      return Fail(StatusCode::kResourceExhausted,
                  fmt::format("the chunk has more than {} bytes", limits_.chunk_bytes));
    }
    RETURN_IF_ERROR(CheckPlace(entry));
    Chunk chunk{.file_offset = covered_bytes_,
                .size_bytes = size_bytes,
                .blob_offset = entry.blob_offset,
                .inner_offset = entry.inner_offset,
                .digest = entry.chunk_digest,
                .is_hole = entry.is_zeros};
    if (chunk.digest.empty() && size_bytes == file.size_bytes) {
      chunk.digest = file.digest;
    }
    if (chunk.digest.empty() && !chunk.is_hole) {
      return Broken("the chunk has no digest");
    }
    map_.chunks.push_back(chunk);
    ++map_.files[*file_].count;
    covered_bytes_ += size_bytes;
    return OkStatus();
  }

  /// A member may hold several chunks, one behind the other; the next member starts behind it.
  Status CheckPlace(const TocEntry& entry) const {
    if (entry.blob_offset >= payload_end_) {
      return Broken(fmt::format("offset {} is behind the payload, which ends at {}",
                                entry.blob_offset, payload_end_));
    }
    if (entry.inner_offset > limits_.layer_bytes) {
      return Broken("the inner offset is larger than any layer");
    }
    if (!map_.chunks.empty()) {
      const Chunk& before = map_.chunks.back();
      const bool same_member = entry.blob_offset == before.blob_offset;
      if (entry.blob_offset < before.blob_offset ||
          (same_member && entry.inner_offset < before.inner_offset + before.size_bytes)) {
        return Broken(fmt::format("offset {} + {} overlaps the chunk before", entry.blob_offset,
                                  entry.inner_offset));
      }
    }
    return OkStatus();
  }

  void SetBlobSizes() {
    uint64_t member_end = payload_end_;
    uint64_t next_offset = payload_end_;
    for (size_t i = map_.chunks.size(); i-- > 0;) {
      Chunk& chunk = map_.chunks[i];
      if (chunk.is_hole) {
        continue;  // so that what it takes in the blob belongs to the member before
      }
      if (chunk.blob_offset != next_offset) {
        member_end = next_offset;
        next_offset = chunk.blob_offset;
      }
      chunk.blob_size = member_end - chunk.blob_offset;
    }
  }

  const std::vector<TocEntry>& entries_;
  const uint64_t payload_end_;
  const TocLimits& limits_;
  ChunkMap map_;
  size_t number_ = 0;
  std::optional<uint32_t> file_;  // whose chunks are being read
  uint64_t covered_bytes_ = 0;    // of that file
  uint64_t layer_bytes_ = 0;
};

}  // namespace

StatusOr<ChunkMap> MapChunks(const std::vector<TocEntry>& entries, uint64_t payload_end,
                             const TocLimits& limits) {
  return ChunkMapper(entries, payload_end, limits).Map();
}

}  // namespace starling::estargz
