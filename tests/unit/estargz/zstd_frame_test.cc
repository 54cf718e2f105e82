#include "estargz/zstd_frame.h"

#include <gtest/gtest.h>

#include "tests/support/zstd_blob.h"

namespace starling::estargz {
namespace {

using testing_support::SkippableFrame;
using testing_support::Zstd;

/// A frame that does not say how much it holds, as streaming writers make it, with a window of
/// 2^`window_log` bytes.
std::string Streamed(std::string_view content, int window_log = 20) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::string frame(ZSTD_compressBound(content.size()), '\0');
  ZSTD_inBuffer from{content.data(), content.size(), 0};
  ZSTD_outBuffer to{frame.data(), frame.size(), 0};
  while (ZSTD_compressStream2(context, &to, &from, ZSTD_e_flush) != 0) {
  }
  while (ZSTD_compressStream2(context, &to, &from, ZSTD_e_end) != 0) {
  }
  ZSTD_freeCCtx(context);
  frame.resize(to.pos);
  return frame;
}

/// 300,000 bytes that compress well and are not all the same.
std::string Sample() {
  std::string content;
  for (int i = 0; content.size() < 300'000; ++i) {
    content += std::to_string(i);
  }
  content.resize(300'000);
  return content;
}

TEST(ZstdDecoder, DecodesTheFirstBytes) {
  const std::string content = Sample();
  const std::string frame = Zstd(content);
  // A block of the reserved type behind the frame's header of nine bytes.
  const std::string broken = frame.substr(0, 9) + std::string(200, '\xff');
  const struct {
    std::string_view name;
    std::string compressed;
    uint64_t wanted_bytes;
    uint64_t room_bytes;
    StatusCode want;
  } cases[] = {
      {"a frame in room for it", frame, 300'000, 400'000, StatusCode::kOk},
      {"a frame in no more room than that", frame, 300'000, 300'000, StatusCode::kOk},
      {"its beginning", frame, 1000, 1000, StatusCode::kOk},
      {"nothing of it", frame, 0, 0, StatusCode::kOk},
      {"a frame of unknown size", Streamed(content), 300'000, 400'000, StatusCode::kOk},
      {"the beginning of one", Streamed(content), 1000, 1000, StatusCode::kOk},
      {"two frames", Zstd(content.substr(0, 5)) + Zstd(content.substr(5)), 300'000, 400'000,
       StatusCode::kOk},
      {"a skippable frame in front", SkippableFrame("note") + frame, 300'000, 400'000,
       StatusCode::kOk},
      {"anything behind it", frame + "anything", 300'000, 400'000, StatusCode::kOk},
      {"cut off behind the wanted bytes", Streamed(content).substr(0, frame.size() / 2), 1000, 1000,
       StatusCode::kOk},
      {"more than it holds", frame, 300'001, 400'000, StatusCode::kDataLoss},
      {"cut off", frame.substr(0, frame.size() - 1), 300'000, 400'000, StatusCode::kDataLoss},
      {"broken", broken, 300'000, 400'000, StatusCode::kDataLoss},
      {"not zstd", std::string(1000, 'x'), 10, 10, StatusCode::kDataLoss},
      {"nothing", "", 10, 10, StatusCode::kDataLoss},
      {"a claim that nothing can hold", frame, uint64_t{1} << 40, uint64_t{1} << 40,
       StatusCode::kDataLoss},
      {"a window of 256 MiB", Streamed(content, 28).substr(0, 5000), 1000, 1000,
       StatusCode::kResourceExhausted},
      {"no room", frame, 10, 9, StatusCode::kInvalidArgument},
  };
  ZstdDecoder decoder;
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Bytes memory(std::min<uint64_t>(c.room_bytes, 1 << 20));
    const Status status =
        decoder.DecodePrefix(AsBytes(c.compressed), c.wanted_bytes, {memory.data(), c.room_bytes});
    ASSERT_EQ(status.code(), c.want) << status;
    if (status.ok()) {
      EXPECT_TRUE(AsText(memory).substr(0, c.wanted_bytes) == content.substr(0, c.wanted_bytes));
    }
  }
}

TEST(ZstdDecoder, DecodesAllOrNothing) {
  const std::string content = Sample();
  const std::string frame = Streamed(content);
  std::string bad_checksum = frame;
  bad_checksum.back() = static_cast<char>(bad_checksum.back() ^ '\xff');
  const struct {
    std::string_view name;
    std::string compressed;
    size_t size_bytes;
    StatusCode want;
  } cases[] = {
      {"a frame", frame, 300'000, StatusCode::kOk},
      {"two", Zstd(content.substr(0, 7)) + Zstd(content.substr(7)), 300'000, StatusCode::kOk},
      {"less room", frame, 299'999, StatusCode::kDataLoss},
      {"more room", frame, 300'001, StatusCode::kDataLoss},
      {"wrong checksum", bad_checksum, 300'000, StatusCode::kDataLoss},
      {"garbage behind it", frame + "x", 300'000, StatusCode::kDataLoss},
      {"nothing from nothing", "", 0, StatusCode::kOk},
      {"nothing from an empty frame", Zstd(""), 0, StatusCode::kOk},
  };
  ZstdDecoder decoder;
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Bytes out(c.size_bytes);
    const Status status = decoder.DecodeAll(AsBytes(c.compressed), out);
    ASSERT_EQ(status.code(), c.want) << status;
    if (status.ok()) {
      EXPECT_TRUE(AsText(out) == content.substr(0, c.size_bytes));
    }
  }
}

TEST(ZstdDecoder, DecodesIntoWhatIsLargeEnough) {
  const std::string frames = Zstd("one") + Zstd("") + Zstd("two");
  const struct {
    std::string_view name;
    std::string compressed;
    size_t room_bytes;
    StatusOr<size_t> want;
  } cases[] = {
      {"exactly", frames, 6, 6},
      {"more than enough", frames, 100, 6},
      {"too little", frames, 5, MakeError(StatusCode::kDataLoss, "")},
      {"nothing", "", 100, 0},
      {"cut off", frames.substr(0, frames.size() - 1), 100, MakeError(StatusCode::kDataLoss, "")},
      {"something behind it", frames + "x", 100, MakeError(StatusCode::kDataLoss, "")},
  };
  ZstdDecoder decoder;
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Bytes out(c.room_bytes);
    const auto size = decoder.DecodeInto(AsBytes(c.compressed), out);
    ASSERT_EQ(size.status().code(), c.want.status().code()) << size.status();
    if (size.ok()) {
      EXPECT_EQ(*size, *c.want);
      EXPECT_EQ(AsText(ByteSpan(out).first(*size)), std::string_view("onetwo").substr(0, *size));
    }
  }
}

}  // namespace
}  // namespace starling::estargz
