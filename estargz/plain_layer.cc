#include "estargz/plain_layer.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

namespace starling::estargz {
namespace {

constexpr size_t kPieceBytes = 256 << 10;
constexpr int kGzipWindow = 15 + 16;  // with a gzip header
constexpr int kGzipMemory = 8;

/// Takes a tar and has its compressed form at its end. Borrows the sink.
class Compressor {
 public:
  virtual ~Compressor() = default;
  virtual Status Write(ByteSpan bytes) = 0;
  virtual Status Finish() = 0;
};

class Stored : public Compressor {
 public:
  explicit Stored(ByteSink& out) : out_(out) {}
  Status Write(ByteSpan bytes) override { return out_.Write(bytes); }
  Status Finish() override { return OkStatus(); }

 private:
  ByteSink& out_;
};

/// One member without a name and a time, so that it is the same everywhere.
class Gzip : public Compressor {
 public:
  Gzip(ByteSink& out, int level) : out_(out), piece_(kPieceBytes) {
    ok_ = ::deflateInit2(&stream_, level, Z_DEFLATED, kGzipWindow, kGzipMemory,
                         Z_DEFAULT_STRATEGY) == Z_OK;
  }
  ~Gzip() override { ::deflateEnd(&stream_); }
  Status Write(ByteSpan bytes) override {
    while (!bytes.empty()) {
      const ByteSpan now = bytes.first(std::min(bytes.size(), kPieceBytes));
      RETURN_IF_ERROR(Deflate(now, Z_NO_FLUSH));
      bytes = bytes.subspan(now.size());
    }
    return OkStatus();
  }
  Status Finish() override { return Deflate({}, Z_FINISH); }

 private:
  Status Deflate(ByteSpan in, int flush) {
    if (!ok_) {
      return MakeError(StatusCode::kInvalidArgument, "gzip has levels from 1 to 9");
    }
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(piece_.data());
      stream_.avail_out = static_cast<uInt>(piece_.size());
      ::deflate(&stream_, flush);
      RETURN_IF_ERROR(out_.Write(ByteSpan(piece_).first(piece_.size() - stream_.avail_out)));
    } while (stream_.avail_out == 0);
    return OkStatus();
  }

  ByteSink& out_;
  Bytes piece_;
  z_stream stream_{};
  bool ok_ = false;
};

class Zstd : public Compressor {
 public:
  Zstd(ByteSink& out, int level) : out_(out), context_(::ZSTD_createCCtx()), piece_(kPieceBytes) {
    ::ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level);
    ::ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
  }
  Status Write(ByteSpan bytes) override { return Compress(bytes, ZSTD_e_continue); }
  Status Finish() override { return Compress({}, ZSTD_e_end); }

 private:
  Status Compress(ByteSpan bytes, ZSTD_EndDirective directive) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (;;) {
      ZSTD_outBuffer out{piece_.data(), piece_.size(), 0};
      const size_t left = ::ZSTD_compressStream2(context_.get(), &out, &in, directive);
      if (::ZSTD_isError(left) != 0) {
        return MakeError(StatusCode::kInternal, fmt::format("zstd: {}", ::ZSTD_getErrorName(left)));
      }
      RETURN_IF_ERROR(out_.Write(ByteSpan(piece_).first(out.pos)));
      if (directive == ZSTD_e_end ? left == 0 : in.pos == in.size) {
        return OkStatus();
      }
    }
  }

  struct Free {
    void operator()(ZSTD_CCtx* context) const { ::ZSTD_freeCCtx(context); }
  };
  ByteSink& out_;
  const std::unique_ptr<ZSTD_CCtx, Free> context_;
  Bytes piece_;
};

std::unique_ptr<Compressor> MakeCompressor(PlainCompression compression, std::optional<int> level,
                                           ByteSink& out) {
  switch (compression) {
    case PlainCompression::kGzip:
      return std::make_unique<Gzip>(out, level.value_or(Z_DEFAULT_COMPRESSION));
    case PlainCompression::kZstd:
      return std::make_unique<Zstd>(out, level.value_or(ZSTD_CLEVEL_DEFAULT));
    case PlainCompression::kNone:
      break;
  }
  return std::make_unique<Stored>(out);
}

}  // namespace

StatusOr<PlainLayer> WritePlainLayer(ByteSource& tar, ByteSink& blob, PlainCompression compression,
                                     std::optional<int> level) {
  if (compression == PlainCompression::kZstd && level &&
      (*level < ::ZSTD_minCLevel() || *level > ::ZSTD_maxCLevel())) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("zstd has levels up to {}", ::ZSTD_maxCLevel()));
  }
  oci::DigestingSink stored(blob);
  const std::unique_ptr<Compressor> compressor = MakeCompressor(compression, level, stored);
  oci::Sha256 tar_digest;
  Bytes piece(kPieceBytes);
  for (;;) {
    ASSIGN_OR_RETURN(const size_t size, tar.Read(piece));
    if (size == 0) {
      break;
    }
    tar_digest.Update(ByteSpan(piece).first(size));
    RETURN_IF_ERROR(compressor->Write(ByteSpan(piece).first(size)));
  }
  RETURN_IF_ERROR(compressor->Finish());
  PlainLayer layer{.size_bytes = stored.size_bytes(), .diff_id = tar_digest.Finish()};
  layer.digest = stored.Finish();
  return layer;
}

}  // namespace starling::estargz
