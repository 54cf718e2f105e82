#include "layer/content_packer.h"

#include <algorithm>
#include <utility>

#include "erofs/format.h"
#include "erofs/image_writer.h"

namespace starling::layer {
namespace {

/// Builders of lazy layers cut there too.
constexpr uint64_t kChunkBytes = 4 << 20;
/// Enough that handing a batch over costs nothing next to hashing it. No chunk is larger.
constexpr uint64_t kBatchBytes = kChunkBytes;
/// One being filled, one being written and some to even out what differs.
constexpr size_t kBatchesOnTheWay = 4;
/// Entries without content are listed when those before them are.
constexpr size_t kMaxPending = 16 << 10;

}  // namespace

struct ContentPacker::Batch {
  ByteSpan bytes() const { return {memory.get(), size_bytes}; }

  uint64_t data_address = 0;
  // Padding is zeroed when it is added, the rest is written before it is read.
  std::unique_ptr<std::byte[]> memory = std::make_unique_for_overwrite<std::byte[]>(kBatchBytes);
  size_t size_bytes = 0;
  std::vector<Chunk> chunks;
  // Guarded by ContentPacker::mutex_ once submitted.
  bool is_written = false;
  Status status;
};

ContentPacker::~ContentPacker() {
  while (!submitted_.empty()) {
    (void)WaitForOldest();
  }
}

Status ContentPacker::Add(estargz::TarEntry entry, uint64_t tar_offset,
                          estargz::TarEntrySource& payload) {
  if (entry.type == estargz::TarType::kGlobalHeader) {
    return OkStatus();
  }
  entry.header = Bytes();  // nobody writes this tar again
  if (entry.size_bytes > 0) {
    return AddContent(std::move(entry), tar_offset, payload);
  }
  pending_.push_back({.entry = std::move(entry), .parts = {}});
  if (pending_.size() < kMaxPending) {
    return OkStatus();
  }
  Submit();
  while (!submitted_.empty()) {
    RETURN_IF_ERROR(WaitForOldest());
  }
  return ListFinished();
}

Status ContentPacker::AddContent(estargz::TarEntry entry, uint64_t tar_offset,
                                 estargz::TarEntrySource& payload) {
  const uint64_t size_bytes = entry.size_bytes;
  if (next_address_ > max_data_bytes_ || size_bytes > max_data_bytes_ - next_address_) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("the layer's files take more than the {} bytes that the disk has "
                                 "to spare",
                                 max_data_bytes_));
  }
  placed_.push_back({.inner_offset = tar_offset, .data_address = next_address_});
  Pending pending{.entry = std::move(entry), .parts = {}};
  for (uint64_t file_offset = 0; file_offset < size_bytes;) {
    const uint64_t address = next_address_ + file_offset;
    const size_t count = std::min(kChunkBytes, size_bytes - file_offset);
    if (filling_ && address - filling_->data_address + count > kBatchBytes) {
      Submit();
      if (submitted_.size() == kBatchesOnTheWay) {
        RETURN_IF_ERROR(WaitForOldest());
        RETURN_IF_ERROR(ListFinished());
      }
    }
    if (!filling_) {
      filling_ = std::make_shared<Batch>();
      filling_->data_address = address;
    }
    Batch& batch = *filling_;
    const size_t begin = address - batch.data_address;
    std::fill(batch.memory.get() + batch.size_bytes, batch.memory.get() + begin, std::byte{0});
    RETURN_IF_ERROR(payload.ReadPayload({batch.memory.get() + begin, count}));
    batch.size_bytes = begin + count;
    AddChunks(file_offset, begin, tar_offset + file_offset, pending);
    file_offset += count;
  }
  next_address_ = erofs::format::RoundUp(next_address_ + size_bytes, erofs::kBlockBytes);
  pending_.push_back(std::move(pending));
  return OkStatus();
}

/// Cuts what was just read at the points in it, all of which are known by now.
void ContentPacker::AddChunks(uint64_t file_offset, size_t begin, uint64_t tar_offset,
                              Pending& pending) {
  Batch& batch = *filling_;
  while (begin < batch.size_bytes) {
    size_t count = batch.size_bytes - begin;
    Part part{.batch = filling_,
              .number = batch.chunks.size(),
              .file_offset = file_offset,
              .inner_offset = tar_offset};
    if (indexer_ != nullptr) {
      const estargz::GzipPoint& point = indexer_->PointAtOrBefore(tar_offset);
      count = std::min(count, indexer_->BytesToPoint(tar_offset));
      part.blob_offset = point.blob_offset;
      part.inner_offset = tar_offset - point.tar_offset;
    }
    pending.parts.push_back(std::move(part));
    batch.chunks.push_back({.begin = begin, .size_bytes = count, .digest = {}});
    begin += count;
    file_offset += count;
    tar_offset += count;
  }
}

/// Sends what was gathered on its way.
void ContentPacker::Submit() {
  if (!filling_) {
    return;
  }
  submitted_.push_back(filling_);
  cpu_.Post([this, batch = std::exchange(filling_, nullptr)] {
    for (Chunk& chunk : batch->chunks) {
      chunk.digest = oci::Digest::Of(batch->bytes().subspan(chunk.begin, chunk.size_bytes));
    }
    Status status = write_(batch->data_address, batch->bytes(), batch->chunks);
    batch->memory.reset();
    // Notified under the lock: after it this object may go.
    MutexLock lock(mutex_);
    batch->status = std::move(status);
    batch->is_written = true;
    written_.NotifyAll();
  });
}

Status ContentPacker::WaitForOldest() {
  const std::shared_ptr<Batch> oldest = std::move(submitted_.front());
  submitted_.pop_front();
  MutexLock lock(mutex_);
  while (!oldest->is_written) {
    written_.Wait(mutex_);
  }
  return oldest->status;
}

/// Lists the entries that wait for nothing any more.
Status ContentPacker::ListFinished() {
  const auto is_listable = [this](const Pending& pending) {
    MutexLock lock(mutex_);
    return std::ranges::all_of(pending.parts, [](const Part& part) {
      return part.batch->is_written && part.batch->status.ok();
    });
  };
  while (!pending_.empty() && is_listable(pending_.front())) {
    RETURN_IF_ERROR(List(pending_.front()));
    pending_.pop_front();
  }
  return OkStatus();
}

Status ContentPacker::List(const Pending& pending) {
  if (pending.parts.empty()) {
    return toc_.AddEntry(pending.entry);
  }
  std::vector<estargz::PlacedChunk> chunks;
  chunks.reserve(pending.parts.size());
  for (const Part& part : pending.parts) {
    const Chunk& chunk = part.batch->chunks[part.number];
    chunks.push_back({.file_offset = part.file_offset,
                      .size_bytes = chunk.size_bytes,
                      .blob_offset = part.blob_offset,
                      .inner_offset = part.inner_offset,
                      .digest = chunk.digest});
  }
  const oci::Digest file = chunks.size() == 1 ? chunks.front().digest : oci::Digest();
  return toc_.AddFile(pending.entry, file, chunks);
}

StatusOr<std::string> ContentPacker::Finish() {
  Submit();
  while (!submitted_.empty()) {
    RETURN_IF_ERROR(WaitForOldest());
  }
  RETURN_IF_ERROR(ListFinished());
  return toc_.Finish();
}

}  // namespace starling::layer
