#include "estargz/gzip_seek_index.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "estargz/gzip_member.h"
#include "estargz/zstd_frame.h"

namespace starling::estargz {
namespace {

static_assert(std::endian::native == std::endian::little, "records are copied as they are stored");

constexpr std::array<char, 8> kMagic = {'S', 'T', 'A', 'R', 'S', 'E', 'E', 'K'};
constexpr uint32_t kVersion = 1;
constexpr uint8_t kMaxBits = 7;
// A window that does not compress takes a frame's header and trailer more than its size.
constexpr uint32_t kMaxWindowStored = kGzipWindowBytes + 512;
// Windows of programs and texts become a third of their size; higher levels gain a few percent and
// take as long as inflating what they stand for.
constexpr int kWindowLevel = 3;

struct Header {
  std::array<char, 8> magic = kMagic;
  uint32_t version = kVersion;
  uint32_t reserved = 0;
  uint64_t point_count = 0;
  uint64_t blob_end = 0;
  uint64_t tar_bytes = 0;
  uint64_t windows_bytes = 0;
};
static_assert(sizeof(Header) == 48);

struct Record {
  uint64_t blob_offset = 0;
  uint64_t tar_offset = 0;
  uint32_t window_bytes = 0;
  uint8_t bit_count = 0;
  uint8_t bits = 0;
  uint8_t kind = 0;
  uint8_t reserved = 0;
};
static_assert(sizeof(Record) == 24);

template <typename T>
void AppendValue(Bytes& out, const T& value) {
  Append(out, std::as_bytes(std::span(&value, 1)));
}

Status Broken(std::string_view what) {
  return MakeError(StatusCode::kDataLoss, fmt::format("gzip seek index: {}", what));
}

Status CheckPoint(const GzipPoint& point) {
  if (point.kind == GzipPoint::Kind::kMember) {
    return point.window_bytes == 0 && point.bit_count == 0 && point.bits == 0
               ? OkStatus()
               : Broken("a member with a window or bits");
  }
  if (point.kind != GzipPoint::Kind::kBlock) {
    return Broken("a point of unknown kind");
  }
  if (point.window_bytes == 0 || point.window_bytes > kMaxWindowStored) {
    return Broken("a block without a window of possible size");
  }
  if (point.bit_count > kMaxBits || (point.bits >> point.bit_count) != 0) {
    return Broken("a block with impossible bits");
  }
  return OkStatus();
}

}  // namespace

StatusOr<GzipSeekIndex> GzipSeekIndex::Open(ByteSpan bytes) {
  Header header;
  if (bytes.size() < sizeof header) {
    return Broken("shorter than its header");
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != kMagic || header.version != kVersion || header.reserved != 0) {
    return Broken("unknown format or version");
  }
  // The bounds make the sum below exact.
  if (header.point_count == 0 || header.point_count > kMaxPoints || header.blob_end == 0 ||
      header.blob_end > kMaxBytes || header.tar_bytes > kMaxBytes ||
      header.windows_bytes > header.point_count * kMaxWindowStored) {
    return Broken("impossible counts");
  }
  const uint64_t records_bytes = header.point_count * sizeof(Record);
  if (bytes.size() != sizeof header + records_bytes + header.windows_bytes) {
    return Broken(fmt::format("{} bytes long instead of {}", bytes.size(),
                              sizeof header + records_bytes + header.windows_bytes));
  }
  GzipSeekIndex index;
  index.blob_end_ = header.blob_end;
  index.tar_bytes_ = header.tar_bytes;
  index.windows_ = bytes.last(header.windows_bytes);
  index.points_.reserve(header.point_count);
  uint64_t window_begin = 0;
  for (ByteSpan left = bytes.subspan(sizeof header, records_bytes); !left.empty();
       left = left.subspan(sizeof(Record))) {
    Record record;
    std::memcpy(&record, left.data(), sizeof record);
    if (record.reserved != 0) {
      return Broken("unknown format or version");
    }
    const GzipPoint point{.blob_offset = record.blob_offset,
                          .tar_offset = record.tar_offset,
                          .window_begin = window_begin,
                          .window_bytes = record.window_bytes,
                          .bit_count = record.bit_count,
                          .bits = record.bits,
                          .kind = static_cast<GzipPoint::Kind>(record.kind)};
    RETURN_IF_ERROR(CheckPoint(point));
    window_begin += record.window_bytes;
    index.points_.push_back(point);
  }
  if (window_begin != header.windows_bytes) {
    return Broken("windows of another size than their points say");
  }
  const GzipPoint& first = index.points_.front();
  if (first.blob_offset != 0 || first.tar_offset != 0 || first.kind != GzipPoint::Kind::kMember) {
    return Broken("the first point is not the start of the layer");
  }
  for (size_t i = 0; i < index.points_.size(); ++i) {
    const bool is_last = i + 1 == index.points_.size();
    const GzipPoint& point = index.points_[i];
    const uint64_t blob_end = is_last ? index.blob_end_ : index.points_[i + 1].blob_offset;
    const uint64_t tar_end = is_last ? index.tar_bytes_ : index.points_[i + 1].tar_offset;
    const bool may_be_empty = index.points_.size() == 1;
    if (blob_end <= point.blob_offset || tar_end < point.tar_offset ||
        (tar_end == point.tar_offset && !may_be_empty)) {
      return Broken("points are not in order");
    }
    const uint64_t tar_bytes = tar_end - point.tar_offset;
    // The bits before the first whole byte count as one.
    if (tar_bytes > kMaxSpanBytes ||
        tar_bytes / kMaxDeflateRatio > blob_end - point.blob_offset + 1) {
      return Broken("a span of impossible size");
    }
  }
  return index;
}

GzipSpan GzipSeekIndex::SpanAt(size_t point) const {
  const GzipPoint& begin = points_[point];
  const bool is_last = point + 1 == points_.size();
  const uint64_t blob_end = is_last ? blob_end_ : points_[point + 1].blob_offset;
  const uint64_t tar_end = is_last ? tar_bytes_ : points_[point + 1].tar_offset;
  return {.blob_offset = begin.blob_offset,
          .blob_bytes = blob_end - begin.blob_offset,
          .tar_offset = begin.tar_offset,
          .tar_bytes = tar_end - begin.tar_offset};
}

StatusOr<Bytes> GzipSeekIndex::WindowAt(size_t point) const {
  const GzipPoint& at = points_[point];
  Bytes window(std::min<uint64_t>(kGzipWindowBytes, at.tar_offset));
  ZstdDecoder decoder;
  RETURN_IF_ERROR(Annotate(
      decoder.DecodeAll(windows_.subspan(at.window_begin, at.window_bytes), window), "a window"));
  return window;
}

std::optional<size_t> GzipSeekIndex::PointAt(uint64_t blob_offset) const {
  const auto found = std::ranges::lower_bound(points_, blob_offset, {}, &GzipPoint::blob_offset);
  if (found == points_.end() || found->blob_offset != blob_offset) {
    return std::nullopt;
  }
  return static_cast<size_t>(found - points_.begin());
}

void GzipSeekIndexWriter::AddMember(uint64_t blob_offset, uint64_t tar_offset) {
  points_.push_back({.blob_offset = blob_offset, .tar_offset = tar_offset});
}

Status GzipSeekIndexWriter::AddBlock(GzipPoint begin, ByteSpan window) {
  const size_t windows_before = windows_.size();
  windows_.resize(windows_before + ZSTD_compressBound(window.size()));
  const size_t stored =
      ZSTD_compress(windows_.data() + windows_before, windows_.size() - windows_before,
                    window.data(), window.size(), kWindowLevel);
  if (ZSTD_isError(stored) != 0) {
    return MakeError(StatusCode::kResourceExhausted, "zstd: no memory");
  }
  windows_.resize(windows_before + stored);
  begin.kind = GzipPoint::Kind::kBlock;
  begin.window_begin = windows_before;
  begin.window_bytes = static_cast<uint32_t>(stored);
  points_.push_back(begin);
  return OkStatus();
}

StatusOr<Bytes> GzipSeekIndexWriter::Finish(uint64_t blob_end, uint64_t tar_bytes) {
  // A block or member behind the last byte inflates to nothing.
  while (points_.size() > 1 && points_.back().tar_offset == tar_bytes) {
    windows_.erase(windows_.end() - points_.back().window_bytes, windows_.end());
    points_.pop_back();
  }
  Bytes out;
  out.reserve(sizeof(Header) + points_.size() * sizeof(Record) + windows_.size());
  AppendValue(out, Header{.point_count = points_.size(),
                          .blob_end = blob_end,
                          .tar_bytes = tar_bytes,
                          .windows_bytes = windows_.size()});
  for (size_t i = 0; i < points_.size(); ++i) {
    const GzipPoint& point = points_[i];
    const uint64_t end = i + 1 < points_.size() ? points_[i + 1].tar_offset : tar_bytes;
    if (end - point.tar_offset > GzipSeekIndex::kMaxSpanBytes) {
      return MakeError(StatusCode::kUnimplemented,
                       fmt::format("gzip: no block begins in {} bytes from offset {} of the tar",
                                   end - point.tar_offset, point.tar_offset));
    }
    AppendValue(out, Record{.blob_offset = point.blob_offset,
                            .tar_offset = point.tar_offset,
                            .window_bytes = point.window_bytes,
                            .bit_count = point.bit_count,
                            .bits = point.bits,
                            .kind = static_cast<uint8_t>(point.kind)});
  }
  Append(out, windows_);
  if (const auto read = GzipSeekIndex::Open(out); !read.ok()) {
    return MakeError(StatusCode::kUnimplemented, MessageOf(read.status()));
  }
  return out;
}

Status GzipSpanInflater::Inflate(const GzipSeekIndex& index, size_t point, ByteSpan compressed,
                                 std::span<std::byte> out) {
  const GzipSpan span = index.SpanAt(point);
  if (out.size() > span.tar_bytes) {
    return MakeError(StatusCode::kInvalidArgument, "gzip: more than the span has");
  }
  const GzipPoint& begin = index.points()[point];
  if (begin.kind == GzipPoint::Kind::kBlock) {
    ASSIGN_OR_RETURN(const Bytes window, index.WindowAt(point));
    stream_.BeginAtBlock(begin.bits, begin.bit_count, window);
  } else {
    stream_.BeginAtMember();
  }
  while (!out.empty()) {
    ASSIGN_OR_RETURN(const GzipStream::Step step, stream_.Inflate(compressed, out));
    if (step.consumed_bytes == 0 && step.produced_bytes == 0) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("gzip: the span ends {} bytes early", out.size()));
    }
    compressed = compressed.subspan(step.consumed_bytes);
    out = out.subspan(step.produced_bytes);
  }
  return OkStatus();
}

}  // namespace starling::estargz
