#include "estargz/blob_assembler.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "estargz/footer.h"
#include "estargz/gzip_compressor.h"
#include "estargz/tar_header.h"
#include "estargz/toc.h"
#include "estargz/zstd_compressor.h"

namespace starling::estargz {
namespace {

// Enough that handing a batch over costs nothing next to compressing it.
constexpr size_t kBatchBytes = 1 << 20;
// A thousand entries without content and more share a member no longer, so that a batch is bounded.
constexpr size_t kMaxTailBytes = 1 << 20;
// A table of contents is read at every start and is small: worth the last percent.
constexpr int kTocLevel = 9;
constexpr size_t kEndOfArchiveBytes = 2 * kTarBlockBytes;
/// More than tars are padded to; the tar-split repeats them.
constexpr uint64_t kMaxEndBytes = 1 << 20;

/// Bytes that grow without being zeroed first.
class Buffer {
 public:
  /// Room for `count` more bytes, which the caller fills.
  std::span<std::byte> Extend(size_t count) {
    if (count > capacity_ - size_) {
      capacity_ = std::max(size_ + count, capacity_ + capacity_ / 2);
      auto grown = std::make_unique_for_overwrite<std::byte[]>(capacity_);
      if (size_ > 0) {
        std::memcpy(grown.get(), bytes_.get(), size_);
      }
      bytes_ = std::move(grown);
    }
    size_ += count;
    return {bytes_.get() + size_ - count, count};
  }
  void Append(ByteSpan bytes) {
    if (!bytes.empty()) {
      std::memcpy(Extend(bytes.size()).data(), bytes.data(), bytes.size());
    }
  }
  void AppendZeros(size_t count) {
    const std::span<std::byte> zeros = Extend(count);
    std::fill(zeros.begin(), zeros.end(), std::byte{0});
  }
  void Shrink(size_t size) { size_ = size; }
  size_t size() const { return size_; }
  ByteSpan bytes() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

std::unique_ptr<MemberCompressor> MakeCompressor(WriteFormat format, int level) {
  if (format == WriteFormat::kEstargz) {
    return std::make_unique<GzipCompressor>(level);
  }
  return std::make_unique<ZstdCompressor>(level);
}

bool IsZeros(ByteSpan bytes) {
  return bytes.empty() || (bytes[0] == std::byte{0} &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

/// Appends `bytes` as one member to `out`; returns the member's size.
size_t AppendMember(ByteSpan bytes, MemberCompressor& compressor, Buffer& out) {
  const size_t begin = out.size();
  const size_t size =
      compressor.CompressMember(bytes, out.Extend(compressor.BoundBytes(bytes.size())));
  out.Shrink(begin + size);
  return size;
}

/// A member: chunks of files, if any, and what of the tar follows each.
struct Member {
  size_t begin = 0;  // in the batch's tar bytes
  size_t size_bytes = 0;
  size_t content_end = 0;  // in the member; only headers follow
  bool closed = false;     // takes headers, but no more content
  size_t stored_bytes = 0;
};

enum class RecordKind { kEntry, kFirstChunk, kNextChunk };

/// A line of the TOC to be.
struct Record {
  RecordKind kind = RecordKind::kEntry;
  TarEntry entry;  // unless kNextChunk
  // Of a chunk:
  size_t member = 0;
  size_t inner_offset = 0;  // in the member
  size_t size_bytes = 0;
  oci::Digest digest;
  uint64_t file_offset = 0;
  bool last = false;        // the file ends with this chunk
  oci::Digest file_digest;  // of the last chunk of several
  uint64_t file_crc64 = 0;  // of the last chunk, when it is asked for
  bool is_zeros = false;    // when it is asked for
};

}  // namespace

struct BlobAssembler::Batch {
  explicit Batch(std::unique_ptr<MemberCompressor> compressor_of_format)
      : compressor(std::move(compressor_of_format)) {}

  ByteSpan Content(const Record& record) const {
    return tar.bytes().subspan(members[record.member].begin + record.inner_offset,
                               record.size_bytes);
  }

  /// To be filled again; keeps its memory.
  void Clear() {
    tar.Shrink(0);
    stored.Shrink(0);
    members.clear();
    records.clear();
  }

  const std::unique_ptr<MemberCompressor> compressor;
  Buffer tar;
  Buffer stored;
  std::vector<Member> members;
  std::vector<Record> records;
  int stages_left = 0;  // guarded by BlobAssembler::mutex_
};

BlobAssembler::BlobAssembler(ByteSink& blob, const WriteOptions& options)
    : options_(options),
      end_bytes_(kEndOfArchiveBytes),
      level_(options.compression_level.value_or(DefaultLevel(options.format))),
      sink_(blob),
      toc_(for_containers() ? TocDialect::kContainers : TocDialect::kStargz),
      hasher_("estargz-hash", 1),
      compressors_("estargz-deflate", options.threads) {
  for (const auto& [path, size_bytes] : options_.chunk_size_bytes_of) {
    chunk_sizes_.emplace(CleanName(path), size_bytes);
  }
  if (for_containers()) {
    tar_split_.emplace(level_);
  }
  // Two for each thread, one being filled and one being written.
  for (size_t i = 0; i < 2 * options.threads + 2; ++i) {
    ring_.push_back(std::make_unique<Batch>(MakeCompressor(options.format, level_)));
  }
  current().members.emplace_back();
}

BlobAssembler::~BlobAssembler() = default;

BlobAssembler::Batch& BlobAssembler::current() { return *ring_[filled_ % ring_.size()]; }

Status BlobAssembler::Add(TarEntry entry, TarEntrySource& payload) {
  RETURN_IF_ERROR(AppendHeader(entry.header));
  if (!tar_split_) {
    entry.header = Bytes();
    if (entry.type == TarType::kGlobalHeader) {
      return OkStatus();
    }
  }
  if (entry.size_bytes > 0) {
    return AddContent(std::move(entry), payload);
  }
  current().records.push_back({.entry = std::move(entry)});
  return OkStatus();
}

uint64_t BlobAssembler::ChunkSizeOf(const TarEntry& entry) const {
  const auto own =
      chunk_sizes_.empty() ? chunk_sizes_.end() : chunk_sizes_.find(CleanName(entry.name));
  return own == chunk_sizes_.end() ? options_.chunk_size_bytes : own->second;
}

Status BlobAssembler::AddContent(TarEntry entry, TarEntrySource& payload) {
  const uint64_t size_bytes = entry.size_bytes;
  const uint64_t chunk_size_bytes = ChunkSizeOf(entry);
  for (uint64_t file_offset = 0; file_offset < size_bytes;) {
    const size_t count = std::min(chunk_size_bytes, size_bytes - file_offset);
    const Member& last = current().members.back();
    if (last.closed || last.size_bytes + count > options_.shared_member_bytes) {
      RETURN_IF_ERROR(BeginMember(count));
    }
    Batch& batch = current();
    Member& member = batch.members.back();
    RETURN_IF_ERROR(payload.ReadPayload(batch.tar.Extend(count)));
    Record record{.kind = file_offset == 0 ? RecordKind::kFirstChunk : RecordKind::kNextChunk,
                  .member = batch.members.size() - 1,
                  .inner_offset = member.size_bytes,
                  .size_bytes = count,
                  .file_offset = file_offset,
                  .last = file_offset + count == size_bytes};
    if (file_offset == 0) {
      record.entry = std::exchange(entry, {});
    }
    batch.records.push_back(std::move(record));
    member.size_bytes += count;
    member.content_end = member.size_bytes;
    file_offset += count;
  }
  if (for_containers()) {
    RETURN_IF_ERROR(BeginMember(0));
  }
  Batch& batch = current();
  batch.tar.AppendZeros(TarPadding(size_bytes));
  batch.members.back().size_bytes += TarPadding(size_bytes);
  return OkStatus();
}

Status BlobAssembler::AddLandmark(std::string_view name) {
  class OneByte : public TarEntrySource {
   public:
    StatusOr<std::optional<TarEntry>> Next() override { return std::nullopt; }
    Status ReadPayload(std::span<std::byte> out) override {
      out[0] = std::byte{0x0f};
      return OkStatus();
    }
  };
  OneByte payload;
  current().members.back().closed = true;
  RETURN_IF_ERROR(Add({.name = std::string(name),
                       .type = TarType::kRegular,
                       .size_bytes = 1,
                       .mode = 0444,
                       .header = MakeTarHeader(name, 1)},
                      payload));
  current().members.back().closed = true;
  return OkStatus();
}

Status BlobAssembler::AppendHeader(ByteSpan header) {
  const Member& member = current().members.back();
  if (member.size_bytes - member.content_end > kMaxTailBytes) {
    RETURN_IF_ERROR(BeginMember(0));
  }
  Batch& batch = current();
  batch.tar.Append(header);
  batch.members.back().size_bytes += header.size();
  return OkStatus();
}

/// What is appended next, `content_bytes` of a file or a header, starts a member.
Status BlobAssembler::BeginMember(size_t content_bytes) {
  if (current().tar.size() > 0 && current().tar.size() + content_bytes > kBatchBytes) {
    RETURN_IF_ERROR(Submit());
  }
  Batch& batch = current();
  batch.members.push_back({.begin = batch.tar.size()});
  return OkStatus();
}

/// Sends the current batch on its way and makes room for the next one.
Status BlobAssembler::Submit() {
  Batch& batch = current();
  {
    MutexLock lock(mutex_);
    batch.stages_left = 2;
  }
  hasher_.Post([this, &batch] { HashTar(batch); });
  compressors_.Post([this, &batch] { Compress(batch); });
  ++filled_;
  if (filled_ - written_ == ring_.size()) {
    RETURN_IF_ERROR(Write(current()));
  }
  return OkStatus();
}

/// On a compressing thread.
void BlobAssembler::Compress(Batch& batch) {
  for (Record& record : batch.records) {
    if (record.kind != RecordKind::kEntry) {
      record.digest = oci::Digest::Of(batch.Content(record));
      record.is_zeros = for_containers() && IsZeros(batch.Content(record));
    }
  }
  for (Member& member : batch.members) {
    member.stored_bytes = AppendMember(batch.tar.bytes().subspan(member.begin, member.size_bytes),
                                       *batch.compressor, batch.stored);
  }
  EndStage(batch);
}

/// On the hashing thread, batch after batch.
void BlobAssembler::HashTar(Batch& batch) {
  tar_hash_.Update(batch.tar.bytes());
  tar_bytes_ += batch.tar.size();
  for (Record& record : batch.records) {
    if (record.kind == RecordKind::kEntry) {
      continue;
    }
    if (tar_split_) {
      file_crc64_ = Crc64(record.file_offset == 0 ? 0 : file_crc64_, batch.Content(record));
      record.file_crc64 = file_crc64_;
    }
    if (record.file_offset == 0 && record.last) {
      continue;  // one chunk: its digest is the file's
    }
    if (record.kind == RecordKind::kFirstChunk) {
      file_hash_ = oci::Sha256();
    }
    file_hash_.Update(batch.Content(record));
    if (record.last) {
      record.file_digest = file_hash_.Finish();
    }
  }
  EndStage(batch);
}

void BlobAssembler::EndStage(Batch& batch) {
  MutexLock lock(mutex_);
  if (--batch.stages_left == 0) {
    stage_ended_.NotifyAll();
  }
}

/// Waits for the oldest batch in flight, `batch`, and writes it.
Status BlobAssembler::Write(Batch& batch) {
  {
    MutexLock lock(mutex_);
    while (batch.stages_left > 0) {
      stage_ended_.Wait(mutex_);
    }
  }
  RETURN_IF_ERROR(WriteToc(batch));
  RETURN_IF_ERROR(sink_.Write(batch.stored.bytes()));
  batch.Clear();
  ++written_;
  return OkStatus();
}

/// The batch's entries into the TOC. The blob ends where the batch will be written.
Status BlobAssembler::WriteToc(Batch& batch) {
  uint64_t blob_offset = sink_.size_bytes();
  size_t next_member = 0;
  for (Record& record : batch.records) {
    if (record.kind == RecordKind::kEntry) {
      if (tar_split_) {
        tar_split_->Add(record.entry, 0);
      }
      if (record.entry.type != TarType::kGlobalHeader) {
        RETURN_IF_ERROR(toc_.AddEntry(record.entry));
      }
      continue;
    }
    for (; next_member < record.member; ++next_member) {
      blob_offset += batch.members[next_member].stored_bytes;
    }
    if (record.kind == RecordKind::kFirstChunk) {
      open_file_ = std::move(record.entry);
      open_chunks_.clear();
    }
    open_chunks_.push_back({.file_offset = record.file_offset,
                            .size_bytes = record.size_bytes,
                            .blob_offset = blob_offset,
                            .blob_end = blob_offset + batch.members[record.member].stored_bytes,
                            .inner_offset = record.inner_offset,
                            .digest = record.digest,
                            .is_zeros = record.is_zeros});
    if (record.last) {
      if (tar_split_) {
        tar_split_->Add(open_file_, record.file_crc64);
      }
      const bool one_chunk = open_chunks_.size() == 1;
      RETURN_IF_ERROR(
          toc_.AddFile(open_file_, one_chunk ? record.digest : record.file_digest, open_chunks_));
    }
  }
  return OkStatus();
}

StatusOr<WrittenLayer> BlobAssembler::Finish(uint64_t tar_zeros) {
  const bool estargz = options_.format == WriteFormat::kEstargz;
  if (for_containers() && tar_zeros > kEndOfArchiveBytes && tar_zeros <= kMaxEndBytes) {
    end_bytes_ = tar_zeros;
  }
  if (!estargz) {
    // The TOC is not in the tar, which therefore ends here.
    current().tar.AppendZeros(end_bytes_);
    current().members.back().size_bytes += end_bytes_;
  }
  RETURN_IF_ERROR(Submit());
  while (written_ < filled_) {
    RETURN_IF_ERROR(Write(*ring_[written_ % ring_.size()]));
  }
  return estargz ? FinishEstargz() : FinishZstd();
}

/// Like FinishZstd, once no batch is in flight: the hashing thread's state is the caller's then.
StatusOr<WrittenLayer> BlobAssembler::FinishEstargz() {
  const uint64_t toc_offset = sink_.size_bytes();
  ASSIGN_OR_RETURN(const std::string json, toc_.Finish());
  const oci::Digest toc_digest = oci::Digest::Of(AsBytes(json));
  Buffer tar;
  tar.Append(MakeTarHeader(kTocName, json.size()));
  tar.Append(AsBytes(json));
  tar.AppendZeros(TarPadding(json.size()) + kEndOfArchiveBytes);
  Buffer stored;
  GzipCompressor compressor(std::max(level_, kTocLevel));
  AppendMember(tar.bytes(), compressor, stored);
  RETURN_IF_ERROR(sink_.Write(stored.bytes()));
  RETURN_IF_ERROR(sink_.Write(MakeFooter(toc_offset)));
  tar_hash_.Update(tar.bytes());
  return WrittenLayer{.digest = sink_.Finish(),
                      .size_bytes = sink_.size_bytes(),
                      .diff_id = tar_hash_.Finish(),
                      .uncompressed_bytes = tar_bytes_ + tar.size(),
                      .toc_digest = toc_digest};
}

/// A frame that decoders of the tar skip.
Status BlobAssembler::WriteFramed(ByteSpan payload) {
  if (payload.size() > std::numeric_limits<uint32_t>::max()) {
    return MakeError(StatusCode::kResourceExhausted,
                     "the layer's tar-split has no room in a frame of 4 GiB");
  }
  RETURN_IF_ERROR(sink_.Write(MakeSkippableHeader(static_cast<uint32_t>(payload.size()))));
  return sink_.Write(payload);
}

StatusOr<WrittenLayer> BlobAssembler::FinishZstd() {
  WrittenLayer layer{
      .format = options_.format, .diff_id = tar_hash_.Finish(), .uncompressed_bytes = tar_bytes_};
  std::optional<TarSplit> tar_split;
  if (tar_split_) {
    tar_split = tar_split_->Finish(Bytes(end_bytes_));
  }
  ASSIGN_OR_RETURN(const std::string json,
                   toc_.Finish(tar_split ? tar_split->digest : oci::Digest()));
  layer.toc_digest = oci::Digest::Of(AsBytes(json));
  Buffer stored;
  ZstdCompressor compressor(std::max(level_, kTocLevel));
  AppendMember(AsBytes(json), compressor, stored);
  layer.compressed_toc_digest = oci::Digest::Of(stored.bytes());
  layer.toc = {.blob_offset = sink_.size_bytes() + kSkippableHeaderBytes,
               .stored_bytes = stored.size(),
               .decompressed_bytes = json.size()};
  RETURN_IF_ERROR(WriteFramed(stored.bytes()));
  if (tar_split) {
    layer.tar_split = {.blob_offset = sink_.size_bytes() + kSkippableHeaderBytes,
                       .stored_bytes = tar_split->frame.size(),
                       .decompressed_bytes = tar_split->decompressed_bytes};
    RETURN_IF_ERROR(WriteFramed(tar_split->frame));
  }
  RETURN_IF_ERROR(sink_.Write(for_containers() ? MakeZstdTarSplitFooter(layer.toc, layer.tar_split)
                                               : MakeZstdFooter(layer.toc)));
  layer.digest = sink_.Finish();
  layer.size_bytes = sink_.size_bytes();
  return layer;
}

}  // namespace starling::estargz
