#include "estargz/gzip_indexer.h"

#include <algorithm>
#include <cstring>

namespace starling::estargz {
namespace {

constexpr size_t kInputBytes = 256 << 10;
constexpr size_t kOutputBytes = 1 << 20;
/// Inflated at once.
constexpr size_t kStepBytes = 256 << 10;
/// ISA-L stops at the header of a block only when its input ends there. So where a point is due the
/// input is given in pieces that are shorter than the header of nearly every block with codes of
/// its own (40 bytes and more). 16 takes a third longer and finds no more; with 64 some are missed.
constexpr size_t kHuntBytes = 32;

}  // namespace

GzipIndexer::GzipIndexer(ByteSource& layer, uint64_t spacing_bytes)
    : layer_(layer), spacing_bytes_(spacing_bytes), in_(kInputBytes), out_(kOutputBytes) {}

StatusOr<size_t> GzipIndexer::Read(std::span<std::byte> out) {
  while (out_begin_ == out_end_ && !ended_) {
    RETURN_IF_ERROR(Fill());
  }
  const size_t count = std::min(out.size(), out_end_ - out_begin_);
  std::memcpy(out.data(), out_.data() + out_begin_, count);
  out_begin_ += count;
  return count;
}

/// What is buffered, more when that was nothing; empty at the end. Buffers are filled, so that
/// what is found does not depend on how the bytes arrive.
StatusOr<ByteSpan> GzipIndexer::Input() {
  if (in_begin_ == in_end_) {
    in_begin_ = 0;
    ASSIGN_OR_RETURN(in_end_, ReadFully(layer_, in_));
  }
  return ByteSpan(in_).subspan(in_begin_, in_end_ - in_begin_);
}

uint64_t GzipIndexer::SinceLastPoint() const {
  return produced_ - (points().empty() ? 0 : points().back().tar_offset);
}

uint64_t GzipIndexer::Spacing() const {
  const size_t doublings = std::min<size_t>(points().size() / kPointsOfOneSpacing, 32);
  const uint64_t most = std::max(spacing_bytes_, GzipSeekIndex::kMaxSpanBytes / 2);
  return std::min(spacing_bytes_ << doublings, most);
}

const GzipPoint& GzipIndexer::PointAtOrBefore(uint64_t tar_offset) const {
  return *std::prev(std::ranges::upper_bound(points(), tar_offset, {}, &GzipPoint::tar_offset));
}

uint64_t GzipIndexer::BytesToPoint(uint64_t tar_offset) const {
  const auto after = std::ranges::upper_bound(points(), tar_offset, {}, &GzipPoint::tar_offset);
  return after == points().end() ? UINT64_MAX : after->tar_offset - tar_offset;
}

/// Inflates a step, or up to the next point.
Status GzipIndexer::Fill() {
  const size_t window = std::min(out_end_, kGzipWindowBytes);
  std::memmove(out_.data(), out_.data() + out_end_ - window, window);
  out_begin_ = out_end_ = window;
  const size_t points_before = points().size();
  const uint64_t spacing_bytes = Spacing();
  while (out_end_ - out_begin_ < kStepBytes && points().size() == points_before) {
    ASSIGN_OR_RETURN(ByteSpan in, Input());
    const bool begins_member = !stream_.in_member() && !in.empty() && in.front() != std::byte{0};
    const bool reads_member = stream_.in_member() || begins_member;
    if (begins_member &&
        (points().empty() || SinceLastPoint() >= std::max<uint64_t>(spacing_bytes / 2, 1))) {
      writer_.AddMember(consumed_, produced_);
      if (out_end_ > out_begin_) {
        return OkStatus();
      }
    }
    std::span<std::byte> room = std::span(out_).subspan(out_end_);
    if (SinceLastPoint() >= spacing_bytes) {
      in = in.first(std::min(in.size(), kHuntBytes));
    } else {
      room = room.first(std::min<uint64_t>(kStepBytes, spacing_bytes - SinceLastPoint()));
    }
    ASSIGN_OR_RETURN(const GzipStream::Step step, stream_.Inflate(in, room));
    in_begin_ += step.consumed_bytes;
    consumed_ += step.consumed_bytes;
    out_end_ += step.produced_bytes;
    produced_ += step.produced_bytes;
    if (in.empty() && step.produced_bytes == 0) {
      ended_ = true;
      return OkStatus();
    }
    if (stream_.in_member() && SinceLastPoint() >= spacing_bytes) {
      RETURN_IF_ERROR(NoteBlock());
    } else if (!stream_.in_member() && reads_member) {
      blob_end_ = consumed_;
    }
  }
  return OkStatus();
}

Status GzipIndexer::NoteBlock() {
  const std::optional<uint32_t> bits = stream_.BitsSinceBlock();
  const uint64_t whole_bytes = bits.value_or(0) / 8;
  // The byte that the block may share with the one before must be at hand.
  if (!bits || whole_bytes + 1 > in_begin_) {
    return OkStatus();
  }
  const auto bit_count = static_cast<uint8_t>(*bits % 8);
  const auto shared = std::to_integer<uint8_t>(in_[in_begin_ - whole_bytes - 1]);
  const size_t window = std::min(out_end_, kGzipWindowBytes);
  return writer_.AddBlock(
      {.blob_offset = consumed_ - whole_bytes,
       .tar_offset = produced_,
       .bit_count = bit_count,
       .bits = static_cast<uint8_t>(bit_count == 0 ? 0 : shared >> (8 - bit_count))},
      ByteSpan(out_).subspan(out_end_ - window, window));
}

StatusOr<Bytes> GzipIndexer::Finish() {
  if (points().empty()) {
    return MakeError(StatusCode::kDataLoss, "gzip: an empty layer");
  }
  return writer_.Finish(blob_end_, produced_);
}

}  // namespace starling::estargz
