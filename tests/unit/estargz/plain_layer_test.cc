#include "estargz/plain_layer.h"

#include <gtest/gtest.h>

#include "estargz/decompress.h"

namespace starling::estargz {
namespace {

TEST(WritePlainLayer, ReadsBackAsTheTar) {
  const std::string tar(1'000'000, 't');
  for (const PlainCompression compression :
       {PlainCompression::kNone, PlainCompression::kGzip, PlainCompression::kZstd}) {
    for (const std::optional<int> level : {std::optional<int>(), std::optional<int>(1)}) {
      SpanSource source(AsBytes(tar));
      BytesSink sink;
      const auto layer = WritePlainLayer(source, sink, compression, level);
      ASSERT_TRUE(layer.ok()) << layer.status();
      EXPECT_EQ(layer->digest, oci::Digest::Of(sink.bytes()));
      EXPECT_EQ(layer->size_bytes, sink.bytes().size());
      EXPECT_EQ(layer->diff_id, oci::Digest::Of(AsBytes(tar)));
      EXPECT_EQ(compression == PlainCompression::kNone, layer->size_bytes == tar.size());
      SpanSource stored(sink.bytes());
      DecompressedTar decompressed(stored);
      EXPECT_EQ(AsText(*ReadAll(decompressed, tar.size())), tar);
    }
  }
}

TEST(WritePlainLayer, PassesOnTheErrorsOfItsStreams) {
  struct Broken : ByteSource, ByteSink {
    StatusOr<size_t> Read(std::span<std::byte>) override {
      return MakeError(StatusCode::kUnavailable, "read");
    }
    Status Write(ByteSpan) override { return MakeError(StatusCode::kUnavailable, "written"); }
  } broken;
  BytesSink sink;
  EXPECT_EQ(WritePlainLayer(broken, sink, PlainCompression::kGzip, {}).status().code(),
            StatusCode::kUnavailable);
  SpanSource source(AsBytes("tar"));
  EXPECT_EQ(WritePlainLayer(source, broken, PlainCompression::kGzip, {}).status().code(),
            StatusCode::kUnavailable);
}

}  // namespace
}  // namespace starling::estargz
