#include "layer/chunk_digests.h"

#include <algorithm>
#include <cstring>

namespace starling::layer {
namespace {

struct Header {
  std::array<char, 4> magic = {'S', 'L', 'C', 'D'};
  uint32_t version = 1;
  uint64_t count = 0;
};
static_assert(sizeof(Header) == 16);

}  // namespace

ChunkDigests ChunkDigests::Of(const ChunkTable& table) {
  std::vector<Entry> entries(table.chunks().size());
  for (uint32_t chunk = 0; chunk < entries.size(); ++chunk) {
    Entry& entry = entries[chunk];
    std::memcpy(entry.digest_prefix.data(), table.chunks()[chunk].digest.data(),
                entry.digest_prefix.size());
    entry.chunk = chunk;
  }
  std::ranges::sort(entries);
  return ChunkDigests(std::move(entries));
}

StatusOr<ChunkDigests> ChunkDigests::Parse(ByteSpan bytes) {
  const Header expected;
  Header header;
  if (bytes.size() < sizeof(header)) {
    return MakeError(StatusCode::kDataLoss, "chunk digests: cut short");
  }
  std::memcpy(&header, bytes.data(), sizeof(header));
  const ByteSpan stored = bytes.subspan(sizeof(header));
  if (header.magic != expected.magic || header.version != expected.version ||
      stored.size() % sizeof(Entry) != 0 || stored.size() / sizeof(Entry) != header.count) {
    return MakeError(StatusCode::kDataLoss, "chunk digests: not of this format or cut short");
  }
  std::vector<Entry> entries(header.count);
  std::ranges::copy(stored, std::as_writable_bytes(std::span(entries)).begin());
  if (!std::ranges::is_sorted(entries)) {
    return MakeError(StatusCode::kDataLoss, "chunk digests: not in order");
  }
  return ChunkDigests(std::move(entries));
}

Bytes ChunkDigests::Serialize() const {
  const Header header{.count = entries_.size()};
  Bytes bytes(sizeof(header) + entries_.size() * sizeof(Entry));
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::ranges::copy(std::as_bytes(std::span(entries_)), bytes.begin() + sizeof(header));
  return bytes;
}

void ForEachShared(const ChunkDigests& wanted, const ChunkDigests& held,
                   const std::function<void(uint32_t, uint32_t)>& shared) {
  auto other = held.entries().begin();
  for (const ChunkDigests::Entry& entry : wanted.entries()) {
    while (other != held.entries().end() && other->digest_prefix < entry.digest_prefix) {
      ++other;
    }
    if (other != held.entries().end() && other->digest_prefix == entry.digest_prefix) {
      shared(entry.chunk, other->chunk);
    }
  }
}

}  // namespace starling::layer
