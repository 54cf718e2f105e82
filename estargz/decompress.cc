#include "estargz/decompress.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "estargz/gzip_stream.h"

namespace starling::estargz {
namespace {

constexpr size_t kInputBytes = 256 << 10;
// 128 MiB: what `zstd --ultra -22` needs and the zstd library accepts when not asked for more.
constexpr int kMaxZstdWindowLog = 27;

bool IsGzip(std::string_view bytes) { return bytes.starts_with("\x1f\x8b"); }

/// A frame, or one to be skipped.
bool IsZstd(std::string_view bytes) {
  return bytes.starts_with("\x28\xb5\x2f\xfd") ||
         (bytes.size() >= 4 && (bytes[0] & '\xf0') == '\x50' &&
          bytes.substr(1, 3) == "\x2a\x4d\x18");
}

}  // namespace

bool IsCompressed(ByteSpan bytes) { return IsGzip(AsText(bytes)) || IsZstd(AsText(bytes)); }

/// The compressed bytes, with those in front that told the kind.
class DecompressedTar::Input {
 public:
  explicit Input(ByteSource& layer) : layer_(layer), buffer_(kInputBytes) {}

  /// What is buffered, more when that was nothing; empty at the end.
  StatusOr<ByteSpan> Get() {
    if (begin_ == end_) {
      begin_ = 0;
      ASSIGN_OR_RETURN(end_, layer_.Read(buffer_));
    }
    return ByteSpan(buffer_).subspan(begin_, end_ - begin_);
  }
  void Consume(size_t count) { begin_ += count; }

  /// The first bytes, without consuming them; fewer than `count` when the layer is shorter.
  StatusOr<ByteSpan> Peek(size_t count) {
    ASSIGN_OR_RETURN(end_, ReadFully(layer_, std::span(buffer_).first(count)));
    return ByteSpan(buffer_).first(end_);
  }

  StatusOr<size_t> Read(std::span<std::byte> out) {
    if (begin_ == end_) {
      return layer_.Read(out);
    }
    const size_t count = std::min(out.size(), end_ - begin_);
    std::memcpy(out.data(), buffer_.data() + begin_, count);
    begin_ += count;
    return count;
  }

  class Plain : public ByteSource {
   public:
    explicit Plain(Input& input) : input_(input) {}
    StatusOr<size_t> Read(std::span<std::byte> out) override { return input_.Read(out); }

   private:
    Input& input_;
  };

  class Gzip : public ByteSource {
   public:
    explicit Gzip(Input& input) : input_(input) {}
    StatusOr<size_t> Read(std::span<std::byte> out) override;

   private:
    Input& input_;
    GzipStream stream_;
  };

  class Zstd : public ByteSource {
   public:
    explicit Zstd(Input& input) : input_(input), context_(ZSTD_createDCtx()) {
      ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kMaxZstdWindowLog);
    }
    ~Zstd() override { ZSTD_freeDCtx(context_); }
    StatusOr<size_t> Read(std::span<std::byte> out) override;

   private:
    Input& input_;
    ZSTD_DCtx* context_;
    size_t wanted_ = 0;  // of the frame; 0 between two frames
  };

 private:
  ByteSource& layer_;
  Bytes buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

StatusOr<size_t> DecompressedTar::Input::Gzip::Read(std::span<std::byte> out) {
  for (;;) {
    ASSIGN_OR_RETURN(const ByteSpan in, input_.Get());
    ASSIGN_OR_RETURN(const GzipStream::Step step, stream_.Inflate(in, out));
    input_.Consume(step.consumed_bytes);
    if (step.produced_bytes > 0 || in.empty()) {
      return step.produced_bytes;
    }
  }
}

StatusOr<size_t> DecompressedTar::Input::Zstd::Read(std::span<std::byte> out) {
  for (;;) {
    ASSIGN_OR_RETURN(const ByteSpan in, input_.Get());
    // With no input left, the frame may still hold output back.
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    if (in.empty() && wanted_ == 0) {
      return 0;
    }
    wanted_ = ZSTD_decompressStream(context_, &to, &from);
    if (ZSTD_isError(wanted_) != 0) {
      return MakeError(StatusCode::kDataLoss, fmt::format("zstd: {}", ZSTD_getErrorName(wanted_)));
    }
    input_.Consume(from.pos);
    if (to.pos > 0) {
      return to.pos;
    }
    if (in.empty()) {
      return MakeError(StatusCode::kDataLoss, "zstd: the layer ends inside a frame");
    }
  }
}

DecompressedTar::DecompressedTar(ByteSource& layer, GzipPoints points)
    : points_(points), input_(std::make_unique<Input>(layer)) {}

DecompressedTar::~DecompressedTar() = default;

Status DecompressedTar::Detect() {
  ASSIGN_OR_RETURN(const ByteSpan first, input_->Peek(6));
  const std::string_view magic = AsText(first);
  const bool is_gzip = IsGzip(magic);
  if (is_gzip && points_ == GzipPoints::kNote) {
    gzip_ = std::make_unique<Input::Plain>(*input_);
    auto indexer = std::make_unique<GzipIndexer>(*gzip_);
    indexer_ = indexer.get();
    tar_ = std::move(indexer);
  } else if (is_gzip) {
    tar_ = std::make_unique<Input::Gzip>(*input_);
  } else if (IsZstd(magic)) {
    tar_ = std::make_unique<Input::Zstd>(*input_);
  } else if (magic.starts_with("BZh") || magic == std::string_view("\xfd"
                                                                   "7zXZ\0",
                                                                   6)) {
    return MakeError(StatusCode::kUnimplemented,
                     "the layer is bzip2 or xz; only gzip, zstd and plain tar are read");
  } else {
    tar_ = std::make_unique<Input::Plain>(*input_);
  }
  return OkStatus();
}

StatusOr<size_t> DecompressedTar::Read(std::span<std::byte> out) {
  if (tar_ == nullptr) {
    RETURN_IF_ERROR(Detect());
  }
  return tar_->Read(out);
}

}  // namespace starling::estargz
