#include "estargz/zstd_compressor.h"

#include <gtest/gtest.h>

#include "estargz/zstd_frame.h"

namespace starling::estargz {
namespace {

std::string Numbers(uint32_t count) {
  std::string text;
  for (uint32_t i = 0; i < count; ++i) {
    text += std::to_string(i * 7919 % 10007);
  }
  return text;
}

Bytes Frame(ZstdCompressor& compressor, std::string_view bytes) {
  Bytes frame(compressor.BoundBytes(bytes.size()));
  frame.resize(compressor.CompressMember(AsBytes(bytes), frame));
  return frame;
}

std::string Decoded(ByteSpan frame, size_t size_bytes) {
  Bytes out(size_bytes);
  EXPECT_TRUE(ZstdDecoder().DecodeAll(frame, out).ok());
  return std::string(AsText(out));
}

TEST(ZstdCompressor, EveryFrameComesBackAndDependsOnItsBytesAlone) {
  const std::string inputs[] = {"", "hello", std::string(1 << 20, '\0'), Numbers(200'000)};
  for (const int level : {1, 6, 19}) {
    SCOPED_TRACE(level);
    ZstdCompressor used(level);
    for (const std::string& input : inputs) {
      const Bytes frame = Frame(used, input);
      EXPECT_EQ(Decoded(frame, input.size()), input);
      EXPECT_LE(frame.size(), input.size() / 2 + 32);
      ZstdCompressor fresh(level);
      EXPECT_EQ(Frame(fresh, input), frame);
    }
  }
}

TEST(ZstdStream, MakesOneFrameOfAllThatComes) {
  const std::string input = Numbers(300'000);
  ZstdStream stream(3);
  for (size_t at = 0; at < input.size(); at += 1000) {
    stream.Append(AsBytes(input).subspan(at, std::min<size_t>(1000, input.size() - at)));
  }
  EXPECT_EQ(stream.decompressed_bytes(), input.size());
  const Bytes frame = stream.Finish();
  EXPECT_EQ(Decoded(frame, input.size()), input);
  EXPECT_LT(frame.size(), input.size() / 2);

  ZstdStream nothing(3);
  EXPECT_EQ(Decoded(nothing.Finish(), 0), "");
}

}  // namespace
}  // namespace starling::estargz
