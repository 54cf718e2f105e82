#include "store/presence_map.h"

#include <bit>
#include <cstring>
#include <limits>

namespace starling::store {
namespace {

// The header: magic with a version, the number of chunks, the bytes present; then the bits.
constexpr uint64_t kMagic = 0x3130'5345'5250'5453;  // "STPRES01"
constexpr uint64_t kMagicAt = 0;
constexpr uint64_t kChunkCountAt = 8;
constexpr uint64_t kPresentBytesAt = 16;
constexpr uint64_t kBitsAt = PresenceMap::kMinBytes;
constexpr uint64_t kWordBits = 64;

uint64_t WordCount(uint64_t chunk_count) { return (chunk_count + kWordBits - 1) / kWordBits; }

uint64_t FileBytes(uint64_t chunk_count) {
  return kBitsAt + WordCount(chunk_count) * sizeof(uint64_t);
}

uint64_t LoadWord(ByteSpan bytes, uint64_t offset) {
  uint64_t word = 0;
  std::memcpy(&word, bytes.data() + offset, sizeof word);
  return word;
}

void StoreWord(std::span<std::byte> bytes, uint64_t offset, uint64_t word) {
  std::memcpy(bytes.data() + offset, &word, sizeof word);
}

uint64_t WordOffset(uint64_t chunk) { return kBitsAt + chunk / kWordBits * sizeof(uint64_t); }

uint64_t Bit(uint64_t chunk) { return uint64_t{1} << chunk % kWordBits; }

}  // namespace

Bytes PresenceMap::Empty(uint64_t chunk_count) {
  Bytes bytes(FileBytes(chunk_count));
  StoreWord(bytes, kMagicAt, kMagic);
  StoreWord(bytes, kChunkCountAt, chunk_count);
  return bytes;
}

Bytes PresenceMap::Full(uint64_t chunk_count, uint64_t present_bytes) {
  Bytes bytes = Empty(chunk_count);
  StoreWord(bytes, kPresentBytesAt, present_bytes);
  for (uint64_t chunk = 0; chunk < chunk_count; chunk += kWordBits) {
    const uint64_t left = chunk_count - chunk;
    StoreWord(bytes, WordOffset(chunk),
              left < kWordBits ? Bit(left) - 1 : std::numeric_limits<uint64_t>::max());
  }
  return bytes;
}

void PresenceMap::ClearIn(std::span<std::byte> map, uint64_t first, uint64_t last,
                          const std::function<uint64_t(uint64_t chunk)>& chunk_bytes) {
  for (uint64_t chunk = first; chunk < last; ++chunk) {
    const uint64_t word = LoadWord(map, WordOffset(chunk));
    if ((word & Bit(chunk)) != 0) {
      StoreWord(map, WordOffset(chunk), word & ~Bit(chunk));
      StoreWord(map, kPresentBytesAt, LoadWord(map, kPresentBytesAt) - chunk_bytes(chunk));
    }
  }
}

void PresenceMap::Join(std::span<std::byte> map, ByteSpan other) {
  for (uint64_t offset = kBitsAt; offset < map.size(); offset += sizeof(uint64_t)) {
    StoreWord(map, offset, LoadWord(map, offset) | LoadWord(other, offset));
  }
}

void PresenceMap::Subtract(std::span<std::byte> map, ByteSpan other) {
  for (uint64_t offset = kBitsAt; offset < map.size(); offset += sizeof(uint64_t)) {
    StoreWord(map, offset, LoadWord(map, offset) & ~LoadWord(other, offset));
  }
}

bool PresenceMap::Has(ByteSpan map, uint64_t chunk) {
  return (LoadWord(map, WordOffset(chunk)) & Bit(chunk)) != 0;
}

Status PresenceMap::Check(ByteSpan bytes, uint64_t chunk_count) {
  if (bytes.size() != FileBytes(chunk_count) || LoadWord(bytes, kMagicAt) != kMagic ||
      LoadWord(bytes, kChunkCountAt) != chunk_count) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("not a presence map of {} chunks", chunk_count));
  }
  if (chunk_count % kWordBits != 0 &&
      LoadWord(bytes, WordOffset(chunk_count)) >> chunk_count % kWordBits != 0) {
    return MakeError(StatusCode::kDataLoss, "a presence map has more chunks than the layer");
  }
  return OkStatus();
}

uint64_t CountPresent(ByteSpan map) {
  uint64_t count = 0;
  for (uint64_t offset = kBitsAt; offset < map.size(); offset += sizeof(uint64_t)) {
    count += static_cast<uint64_t>(std::popcount(LoadWord(map, offset)));
  }
  return count;
}

StatusOr<std::unique_ptr<PresenceMap>> PresenceMap::Open(FileSystem& files,
                                                         const std::filesystem::path& path,
                                                         uint64_t chunk_count) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(files, path, MappedFile::Access::kReadAndWrite,
                                                     FileBytes(chunk_count)));
  RETURN_IF_ERROR(Annotate(Check(file.bytes(), chunk_count), path.string()));
  return std::unique_ptr<PresenceMap>(new PresenceMap(std::move(file), chunk_count));
}

PresenceMap::PresenceMap(MappedFile file, uint64_t chunk_count)
    : file_(std::move(file)),
      chunk_count_(chunk_count),
      present_count_(CountPresent(file_.bytes())) {}

std::atomic_ref<uint64_t> PresenceMap::WordAt(uint64_t offset) const {
  // The mapping starts at a page and every offset is a multiple of 8.
  return std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(file_.bytes().data() + offset));
}

bool PresenceMap::IsSet(uint64_t chunk) const {
  return (WordAt(WordOffset(chunk)).load(std::memory_order_acquire) & Bit(chunk)) != 0;
}

bool PresenceMap::Set(uint64_t chunk, uint64_t size_bytes) {
  const uint64_t before = WordAt(WordOffset(chunk)).fetch_or(Bit(chunk), std::memory_order_acq_rel);
  if ((before & Bit(chunk)) != 0) {
    return false;
  }
  WordAt(kPresentBytesAt).fetch_add(size_bytes, std::memory_order_relaxed);
  present_count_.fetch_add(1, std::memory_order_acq_rel);
  return true;
}

bool PresenceMap::Clear(uint64_t chunk, uint64_t size_bytes) {
  if ((WordAt(WordOffset(chunk)).fetch_and(~Bit(chunk)) & Bit(chunk)) == 0) {
    return false;
  }
  WordAt(kPresentBytesAt).fetch_sub(size_bytes, std::memory_order_relaxed);
  present_count_.fetch_sub(1, std::memory_order_acq_rel);
  return true;
}

uint64_t PresenceMap::present_bytes() const {
  return WordAt(kPresentBytesAt).load(std::memory_order_relaxed);
}

Bytes PresenceMap::Snapshot() const {
  Bytes snapshot = Empty(chunk_count_);
  StoreWord(snapshot, kPresentBytesAt, present_bytes());
  for (uint64_t offset = kBitsAt; offset < snapshot.size(); offset += sizeof(uint64_t)) {
    StoreWord(snapshot, offset, WordAt(offset).load(std::memory_order_acquire));
  }
  return snapshot;
}

}  // namespace starling::store
