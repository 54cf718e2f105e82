#include "layer/gap_log.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "estargz/zstd_compressor.h"
#include "estargz/zstd_frame.h"
#include "oci/digest.h"

namespace starling::layer {
namespace {

constexpr uint32_t kMagic = 0x31504147;  // GAP1
constexpr int kZstdLevel = 1;

/// Before the zstd frame of a member's gaps, little-endian. Only this process and its successors
/// read it; the check is against what a crash or a disk may have done to it.
struct Record {
  uint32_t magic = kMagic;
  uint32_t member = 0;
  uint32_t stored_bytes = 0;  // of the frame; 0 when there are no gaps
  uint32_t gap_bytes = 0;     // at most kMaxGapBytes
  uint64_t check = 0;         // of all above and the frame
};
static_assert(sizeof(Record) == 24);

/// Eight bytes of the SHA-256.
uint64_t CheckOf(Record record, ByteSpan frame) {
  record.check = 0;
  oci::Sha256 hash;
  hash.Update(std::as_bytes(std::span(&record, 1)));
  hash.Update(frame);
  uint64_t check = 0;
  const oci::Digest digest = hash.Finish();
  std::memcpy(&check, digest.value().data(), sizeof check);
  return check;
}

Bytes MakeRecord(uint32_t member, ByteSpan gaps) {
  thread_local estargz::ZstdCompressor compressor(kZstdLevel);
  Bytes out(sizeof(Record) + (gaps.empty() ? 0 : compressor.BoundBytes(gaps.size())));
  const std::span<std::byte> room = std::span(out).subspan(sizeof(Record));
  const size_t stored_bytes = gaps.empty() ? 0 : compressor.CompressMember(gaps, room);
  out.resize(sizeof(Record) + stored_bytes);
  Record record{.member = member,
                .stored_bytes = static_cast<uint32_t>(stored_bytes),
                .gap_bytes = static_cast<uint32_t>(gaps.size())};
  record.check = CheckOf(record, ByteSpan(out).subspan(sizeof(Record)));
  std::memcpy(out.data(), &record, sizeof record);
  return out;
}

}  // namespace

std::vector<InnerRange> GapsOf(const ChunkTable& table, uint32_t member, uint64_t inner_bytes) {
  std::vector<InnerRange> gaps;
  uint64_t covered_to = 0;
  for (const uint32_t number : table.ChunksOf(member)) {
    const ChunkRecord& chunk = table.chunks()[number];
    if (chunk.inner_offset >= inner_bytes) {
      break;
    }
    if (chunk.inner_offset > covered_to) {
      gaps.push_back({.inner_offset = covered_to, .size_bytes = chunk.inner_offset - covered_to});
    }
    covered_to = std::max(covered_to, chunk.inner_offset + chunk.size_bytes);
  }
  if (inner_bytes > covered_to) {
    gaps.push_back({.inner_offset = covered_to, .size_bytes = inner_bytes - covered_to});
  }
  return gaps;
}

void GapLog::Add(const ChunkTable& table, uint32_t member, ByteSpan inner) {
  const std::vector<InnerRange> ranges = GapsOf(table, member, inner.size());
  uint64_t gap_bytes = 0;
  for (const InnerRange& range : ranges) {
    gap_bytes += range.size_bytes;
  }
  if (gap_bytes > kMaxGapBytes) {
    return;
  }
  if (!Wants(member, table.members().size())) {
    return;
  }
  Bytes gaps;
  gaps.reserve(gap_bytes);
  for (const InnerRange& range : ranges) {
    Append(gaps, inner.subspan(range.inner_offset, range.size_bytes));
  }
  if (!Write(MakeRecord(member, gaps)).ok()) {
    End();  // what comes behind a torn record could not be found
  }
}

void GapLog::End() {
  MutexLock lock(mutex_);
  ended_ = true;
}

/// True the first time only: a member that was evicted comes again and again.
bool GapLog::Wants(uint32_t member, size_t member_count) {
  MutexLock lock(mutex_);
  if (ended_) {
    return false;
  }
  if (!file_.valid() && !Open(member_count).ok()) {
    ended_ = true;
    return false;
  }
  if (has_[member]) {
    return false;
  }
  has_[member] = true;
  return true;
}

Status GapLog::Write(ByteSpan record) {
  int file = -1;
  uint64_t offset = 0;
  {
    MutexLock lock(mutex_);
    if (ended_) {
      return OkStatus();
    }
    file = file_.get();
    offset = end_;
    end_ += record.size();
  }
  // The descriptor stays open as long as the log.
  return files_.WriteAt(file, offset, record);
}

/// Goes on behind what an earlier process has written, over a torn record, which is not cut off:
/// the file may be mapped.
Status GapLog::Open(size_t member_count) {
  ASSIGN_OR_RETURN(const Gaps earlier, Gaps::Open(files_, path_, member_count));
  ASSIGN_OR_RETURN(file_, files_.Open(path_, O_RDWR | O_CREAT, 0600));
  end_ = earlier.end();
  has_.resize(member_count);
  for (uint32_t member = 0; member < member_count; ++member) {
    has_[member] = earlier.Has(member);
  }
  return OkStatus();
}

void GapLog::Discard() {
  End();
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

StatusOr<Gaps> Gaps::Open(FileSystem& files, const std::filesystem::path& path,
                          size_t member_count) {
  Gaps gaps;
  gaps.offsets_.assign(member_count, kNone);
  std::error_code error;
  const uint64_t size_bytes = std::filesystem::file_size(path, error);
  if (error == std::errc::no_such_file_or_directory) {
    return gaps;
  }
  if (error) {
    return ErrnoError(error.value(), path.string());
  }
  ASSIGN_OR_RETURN(gaps.file_, store::MappedFile::Open(
                                   files, path, store::MappedFile::Access::kRead, size_bytes));
  const ByteSpan bytes = gaps.file_.bytes();
  while (bytes.size() - gaps.end_ >= sizeof(Record)) {
    Record record;
    std::memcpy(&record, bytes.data() + gaps.end_, sizeof record);
    if (record.magic != kMagic || record.stored_bytes > bytes.size() - gaps.end_ - sizeof record) {
      break;
    }
    if (record.member < member_count) {
      gaps.offsets_[record.member] = gaps.end_;
    }
    gaps.end_ += sizeof record + record.stored_bytes;
  }
  return gaps;
}

StatusOr<Bytes> Gaps::Read(uint32_t member) const {
  Record record;
  const ByteSpan from = ByteSpan(file_.bytes()).subspan(offsets_[member]);
  std::memcpy(&record, from.data(), sizeof record);
  const ByteSpan frame = from.subspan(sizeof record, record.stored_bytes);
  if (record.check != CheckOf(record, frame) || record.gap_bytes > GapLog::kMaxGapBytes) {
    return MakeError(StatusCode::kDataLoss, "gap log: a record is damaged");
  }
  Bytes gaps(record.gap_bytes);
  if (!gaps.empty()) {
    thread_local estargz::ZstdDecoder decoder;
    RETURN_IF_ERROR(decoder.DecodeAll(frame, gaps));
  }
  return gaps;
}

}  // namespace starling::layer
