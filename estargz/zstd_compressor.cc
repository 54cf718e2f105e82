#include "estargz/zstd_compressor.h"

#include <zstd.h>

#include <new>

namespace starling::estargz {
namespace {

struct ReleaseContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
using ContextPointer = std::unique_ptr<ZSTD_CCtx, ReleaseContext>;

/// The library fails for want of memory alone where it gets room enough and a level that it knows.
size_t OrNoMemory(size_t code) {
  if (ZSTD_isError(code) != 0) {
    throw std::bad_alloc();
  }
  return code;
}

ContextPointer MakeContext(int level) {
  ContextPointer context(ZSTD_createCCtx());
  if (context == nullptr) {
    throw std::bad_alloc();
  }
  OrNoMemory(ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level));
  return context;
}

}  // namespace

struct ZstdCompressor::Context {
  ContextPointer pointer;
};

ZstdCompressor::ZstdCompressor(int level)
    : context_(std::make_unique<Context>(Context{MakeContext(level)})) {}
ZstdCompressor::~ZstdCompressor() = default;

size_t ZstdCompressor::BoundBytes(size_t size_bytes) { return ZSTD_compressBound(size_bytes); }

size_t ZstdCompressor::CompressMember(ByteSpan bytes, std::span<std::byte> out) {
  return OrNoMemory(
      ZSTD_compress2(context_->pointer.get(), out.data(), out.size(), bytes.data(), bytes.size()));
}

struct ZstdStream::Context {
  ContextPointer pointer;
  Bytes piece = Bytes(ZSTD_CStreamOutSize());
};

ZstdStream::ZstdStream(int level)
    : context_(std::make_unique<Context>(Context{.pointer = MakeContext(level)})) {}
ZstdStream::~ZstdStream() = default;

void ZstdStream::Append(ByteSpan bytes) {
  decompressed_bytes_ += bytes.size();
  ZSTD_inBuffer from{bytes.data(), bytes.size(), 0};
  while (from.pos < from.size) {
    ZSTD_outBuffer to{context_->piece.data(), context_->piece.size(), 0};
    OrNoMemory(ZSTD_compressStream2(context_->pointer.get(), &to, &from, ZSTD_e_continue));
    frame_.insert(frame_.end(), context_->piece.begin(),
                  context_->piece.begin() + static_cast<ptrdiff_t>(to.pos));
  }
}

Bytes ZstdStream::Finish() {
  ZSTD_inBuffer nothing{nullptr, 0, 0};
  for (size_t left = 1; left > 0;) {
    ZSTD_outBuffer to{context_->piece.data(), context_->piece.size(), 0};
    left = OrNoMemory(ZSTD_compressStream2(context_->pointer.get(), &to, &nothing, ZSTD_e_end));
    frame_.insert(frame_.end(), context_->piece.begin(),
                  context_->piece.begin() + static_cast<ptrdiff_t>(to.pos));
  }
  return std::move(frame_);
}

}  // namespace starling::estargz
