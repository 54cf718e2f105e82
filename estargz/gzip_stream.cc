#include "estargz/gzip_stream.h"

#include <isa-l/igzip_lib.h>

#include <algorithm>

namespace starling::estargz {
namespace {

/// ISA-L counts in 32 bits.
constexpr size_t kMaxStep = 1 << 30;
/// CRC and length.
constexpr size_t kTrailerBytes = 8;

std::string_view WhatIsWrong(int isal_error) {
  switch (isal_error) {
    case ISAL_INVALID_WRAPPER:
      return "no gzip header where a member should begin";
    case ISAL_UNSUPPORTED_METHOD:
      return "compressed by another method than deflate";
    case ISAL_INCORRECT_CHECKSUM:
      return "a member's checksum or length is wrong";
    default:
      return "a broken deflate stream";
  }
}

}  // namespace

GzipStream::GzipStream() : state_(std::make_unique<inflate_state>()) {
  isal_inflate_init(state_.get());
}
GzipStream::GzipStream(GzipStream&&) noexcept = default;
GzipStream& GzipStream::operator=(GzipStream&&) noexcept = default;
GzipStream::~GzipStream() = default;

void GzipStream::BeginMember() {
  isal_inflate_reset(state_.get());
  state_->crc_flag = ISAL_GZIP;  // expect the wrapper and check its CRC and length
  in_member_ = true;
  began_at_block_ = false;
}

void GzipStream::BeginAtMember() {
  in_member_ = false;
  only_padding_left_ = false;
  trailer_left_ = 0;
}

void GzipStream::BeginAtBlock(uint32_t bits, uint32_t bit_count, ByteSpan window) {
  isal_inflate_reset(state_.get());
  state_->crc_flag = ISAL_DEFLATE;
  isal_inflate_set_dict(state_.get(), const_cast<uint8_t*>(AsUnsigned(window)),
                        static_cast<uint32_t>(window.size()));
  state_->read_in = bits;
  state_->read_in_length = static_cast<int32_t>(bit_count);
  in_member_ = true;
  began_at_block_ = true;
  only_padding_left_ = false;
  trailer_left_ = 0;
}

StatusOr<GzipStream::Step> GzipStream::Inflate(ByteSpan in, std::span<std::byte> out) {
  Step step;
  if (trailer_left_ > 0) {
    if (in.empty()) {
      return MakeError(StatusCode::kDataLoss, "gzip: the layer ends inside a member");
    }
    step.consumed_bytes = std::min(in.size(), trailer_left_);
    trailer_left_ -= step.consumed_bytes;
    return step;
  }
  if (!in_member_) {
    if (in.empty()) {
      return step;
    }
    only_padding_left_ = only_padding_left_ || in.front() == std::byte{0};
    if (only_padding_left_) {
      if (std::any_of(in.begin(), in.end(), [](std::byte b) { return b != std::byte{0}; })) {
        return MakeError(StatusCode::kDataLoss, "gzip: garbage after the last member");
      }
      step.consumed_bytes = in.size();
      return step;
    }
    BeginMember();
  }
  const ByteSpan taken = in.first(std::min(in.size(), kMaxStep));
  const size_t room = std::min(out.size(), kMaxStep);
  // With no input left, the decoder may still hold output back.
  state_->next_in = const_cast<uint8_t*>(AsUnsigned(taken));
  state_->avail_in = static_cast<uint32_t>(taken.size());
  state_->next_out = reinterpret_cast<uint8_t*>(out.data());
  state_->avail_out = static_cast<uint32_t>(room);
  const int result = isal_inflate(state_.get());
  if (result < 0) {
    return MakeError(StatusCode::kDataLoss, fmt::format("gzip: {}", WhatIsWrong(result)));
  }
  step = {.consumed_bytes = taken.size() - state_->avail_in,
          .produced_bytes = room - state_->avail_out};
  in_member_ = state_->block_state != ISAL_BLOCK_FINISH;
  if (!in_member_ && began_at_block_) {
    // Without a wrapper to check, ISA-L leaves the trailer alone, but for what it had buffered.
    trailer_left_ = kTrailerBytes - static_cast<size_t>(state_->read_in_length) / 8;
  }
  if (in_member_ && in.empty() && step.produced_bytes == 0) {
    return MakeError(StatusCode::kDataLoss, "gzip: the layer ends inside a member");
  }
  return step;
}

std::optional<uint32_t> GzipStream::BitsSinceBlock() const {
  if (!in_member_ || state_->block_state != ISAL_BLOCK_HDR ||
      state_->tmp_out_valid != state_->tmp_out_processed) {
    return std::nullopt;
  }
  return static_cast<uint32_t>(state_->tmp_in_size) * 8 +
         static_cast<uint32_t>(state_->read_in_length);
}

}  // namespace starling::estargz
