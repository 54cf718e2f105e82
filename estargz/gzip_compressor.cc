#include "estargz/gzip_compressor.h"

#include <libdeflate.h>

#include <algorithm>
#include <array>

namespace starling::estargz {
namespace {

constexpr size_t kStretchBytes = 256 << 10;
constexpr size_t kSampleBytes = 16 << 10;
constexpr int kStored = 0;
constexpr int kFastest = 1;

/// Whether Huffman codes alone would save less than about 0.2 %. In whole numbers, because every
/// machine must decide the same: the squared counts of n equally frequent values add up to
/// n * n / 256, for random bytes a 256th of n more.
bool AllValuesAboutEquallyOften(ByteSpan stretch) {
  // Four tables: a byte that equals the one before need not wait for its counter.
  std::array<std::array<uint32_t, 256>, 4> counts{};
  size_t i = 0;
  for (; i + 4 <= stretch.size(); i += 4) {
    ++counts[0][std::to_integer<size_t>(stretch[i])];
    ++counts[1][std::to_integer<size_t>(stretch[i + 1])];
    ++counts[2][std::to_integer<size_t>(stretch[i + 2])];
    ++counts[3][std::to_integer<size_t>(stretch[i + 3])];
  }
  for (; i < stretch.size(); ++i) {
    ++counts[0][std::to_integer<size_t>(stretch[i])];
  }
  uint64_t squares = 0;
  for (size_t value = 0; value < 256; ++value) {
    const uint64_t count =
        uint64_t{counts[0][value]} + counts[1][value] + counts[2][value] + counts[3][value];
    squares += count * count;
  }
  const uint64_t even = uint64_t{stretch.size()} * stretch.size();
  return squares * 256 <= even + even / 64;
}

}  // namespace

void ReleaseCompressor::operator()(libdeflate_compressor* compressor) const {
  libdeflate_free_compressor(compressor);
}

IncompressibleProbe::IncompressibleProbe()
    : fastest_(libdeflate_alloc_compressor(kFastest)),
      scratch_(std::make_unique_for_overwrite<std::byte[]>(kSampleBytes)) {}

bool IncompressibleProbe::Shrinks(ByteSpan sample) {
  // Zero: it does not fit into its own size.
  return libdeflate_deflate_compress(fastest_.get(), sample.data(), sample.size(), scratch_.get(),
                                     sample.size() - 1) != 0;
}

bool IncompressibleProbe::Incompressible(ByteSpan bytes) {
  if (bytes.size() < kStretchBytes) {
    return false;
  }
  while (!bytes.empty()) {
    // The last stretch takes what would be too little for one of its own.
    const size_t size = bytes.size() < 2 * kStretchBytes ? bytes.size() : kStretchBytes;
    const ByteSpan stretch = bytes.first(size);
    // The sample first: nearly all content is known for compressible after it.
    if (Shrinks(stretch.subspan((size - kSampleBytes) / 2, kSampleBytes)) ||
        !AllValuesAboutEquallyOften(stretch)) {
      return false;
    }
    bytes = bytes.subspan(size);
  }
  return true;
}

GzipCompressor::GzipCompressor(int level)
    : compressor_(libdeflate_alloc_compressor(level)),
      store_(libdeflate_alloc_compressor(kStored)) {}

size_t GzipCompressor::BoundBytes(size_t size_bytes) {
  return std::max(libdeflate_gzip_compress_bound(compressor_.get(), size_bytes),
                  libdeflate_gzip_compress_bound(store_.get(), size_bytes));
}

size_t GzipCompressor::CompressMember(ByteSpan bytes, std::span<std::byte> out) {
  libdeflate_compressor* const chosen =
      probe_.Incompressible(bytes) ? store_.get() : compressor_.get();
  return libdeflate_gzip_compress(chosen, bytes.data(), bytes.size(), out.data(), out.size());
}

}  // namespace starling::estargz
