#include "layer/member_decoder.h"

#include <gtest/gtest.h>

#include <string>

#include "layer/index_builder.h"
#include "tests/support/gzip.h"
#include "tests/support/gzip_layer.h"
#include "tests/support/zstd_blob.h"

namespace starling::layer {
namespace {

using testing_support::Gzip;
using testing_support::Zstd;

TEST(DecodePrefix, ClassifiesInput) {
  const std::string content(5000, 'a');
  const std::string member = Gzip(content);
  std::string broken = member;
  broken[broken.size() / 2] = static_cast<char>(broken[broken.size() / 2] ^ '\xff');
  const struct {
    std::string_view name;
    std::string compressed;
    uint64_t wanted_bytes;
    StatusCode want;
  } cases[] = {
      {"all of it", member, 5000, StatusCode::kOk},
      {"a part", member, 10, StatusCode::kOk},
      {"two members", member + Gzip(content), 7000, StatusCode::kOk},
      {"a member that goes on", Gzip(std::string(200'000, 'a')), 5000, StatusCode::kOk},
      {"something else behind it", member + "something else", 5000, StatusCode::kOk},
      {"more than it has", member, 5001, StatusCode::kDataLoss},
      {"more than deflate could hold", member, 100'000'000, StatusCode::kDataLoss},
      {"more than is decoded", member, kMaxMemberBytes + 1, StatusCode::kResourceExhausted},
      {"broken", broken, 5000, StatusCode::kDataLoss},
      {"cut off", member.substr(0, member.size() / 2), 5000, StatusCode::kDataLoss},
      {"nothing", "", 1, StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const StatusOr<DecodedBytes> decoded =
        DecodePrefix(Codec::kGzip, AsBytes(c.compressed), c.wanted_bytes);
    ASSERT_EQ(decoded.status().code(), c.want) << decoded.status();
    if (decoded.ok()) {
      EXPECT_EQ(AsText(decoded->span()), std::string(c.wanted_bytes, 'a'));
    }
  }
}

TEST(DecodePrefix, DecodesZstd) {
  const std::string content(5000, 'a');
  const std::string frame = Zstd(content);
  const struct {
    std::string_view name;
    std::string compressed;
    uint64_t wanted_bytes;
    StatusCode want;
  } cases[] = {
      {"all of it", frame, 5000, StatusCode::kOk},
      {"a part", frame, 10, StatusCode::kOk},
      {"a frame of headers behind it", frame + Zstd("headers"), 5000, StatusCode::kOk},
      {"two frames", frame + frame, 7000, StatusCode::kOk},
      {"a frame that goes on", Zstd(std::string(200'000, 'a')), 5000, StatusCode::kOk},
      {"more than it has", frame, 5001, StatusCode::kDataLoss},
      {"gzip", Gzip(content), 5000, StatusCode::kDataLoss},
      {"more than is decoded", frame, kMaxMemberBytes + 1, StatusCode::kResourceExhausted},
      {"nothing", "", 1, StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const StatusOr<DecodedBytes> decoded =
        DecodePrefix(Codec::kZstd, AsBytes(c.compressed), c.wanted_bytes);
    ASSERT_EQ(decoded.status().code(), c.want) << decoded.status();
    if (decoded.ok()) {
      EXPECT_EQ(AsText(decoded->span()), std::string(c.wanted_bytes, 'a'));
    }
  }
}

TEST(DecodeMember, InflatesSpans) {
  const auto made = testing_support::MakeGzipLayer(2);
  ASSERT_TRUE(made.ok()) << made.status();
  const auto index = BuildIndex(made->index);
  ASSERT_TRUE(index.ok()) << index.status();
  const auto table = ChunkTable::Open(index->chunk_table);
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_GT(table->members().size(), 10U);
  const estargz::GzipSpan span = made->index.seek_index().SpanAt(5);
  const MemberRecord& member = table->members()[5];
  ASSERT_EQ(member.blob_offset, span.blob_offset);
  const ByteSpan compressed = AsBytes(made->blob).subspan(member.blob_offset, member.blob_size);
  const struct {
    std::string_view name;
    ByteSpan compressed;
    uint64_t wanted_bytes;
    StatusCode want;
  } cases[] = {
      {"all of it", compressed, span.tar_bytes, StatusCode::kOk},
      {"a part", compressed, 10, StatusCode::kOk},
      {"bytes behind it", AsBytes(made->blob).subspan(member.blob_offset), span.tar_bytes,
       StatusCode::kOk},
      {"more than it has", compressed, span.tar_bytes + 1, StatusCode::kDataLoss},
      {"cut off", compressed.first(compressed.size() / 2), span.tar_bytes, StatusCode::kDataLoss},
      {"nothing", {}, 1, StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto decoded = DecodeMember(*table, 5, c.compressed, c.wanted_bytes);
    ASSERT_EQ(decoded.status().code(), c.want) << decoded.status();
    if (decoded.ok()) {
      EXPECT_TRUE(AsText(decoded->span()) == made->tar.substr(span.tar_offset, c.wanted_bytes));
    }
  }
}

TEST(DecodeWholeMember, EndsWithTheMember) {
  const std::string content(5000, 'a');
  const struct {
    std::string_view name;
    Codec codec;
    std::string compressed;
    uint64_t chunk_bytes;
    StatusOr<uint64_t> want;
  } cases[] = {
      {"the chunk alone", Codec::kGzip, Gzip(content), 5000, 5000},
      {"headers behind it", Codec::kGzip, Gzip(content), 4000, 5000},
      {"in a member of their own", Codec::kGzip, Gzip(content) + Gzip(content), 5000, 10000},
      {"64 KiB of them", Codec::kGzip, Gzip(std::string(10 + (64 << 10), 'a')), 10,
       10 + (64 << 10)},
      {"more", Codec::kGzip, Gzip(std::string(11 + (64 << 10), 'a')), 10,
       MakeError(StatusCode::kResourceExhausted, "")},
      {"shorter than the chunk", Codec::kGzip, Gzip(content), 5001,
       MakeError(StatusCode::kDataLoss, "")},
      {"something else behind it", Codec::kGzip, Gzip(content) + "else", 5000,
       MakeError(StatusCode::kDataLoss, "")},
      {"a frame", Codec::kZstd, Zstd(content), 5000, 5000},
      {"a frame of headers", Codec::kZstd, Zstd(content) + Zstd("headers"), 5000, 5007},
      {"more than 64 KiB of frames", Codec::kZstd, Zstd(content) + Zstd(std::string(65537, 'a')),
       5000, MakeError(StatusCode::kDataLoss, "")},
      {"a whole layer", Codec::kWhole, "xxxxxxxxxx", 10,
       MakeError(StatusCode::kFailedPrecondition, "")},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    ChunkTableSpec spec{
        .chunks = {{.data_address = 0, .size_bytes = c.chunk_bytes}},
        .members = {{.blob_offset = 0, .blob_size = c.compressed.size()}},
        .data_size_bytes = 8192,
        .blob_size_bytes = c.compressed.size(),
        .codec = c.codec,
    };
    const Bytes bytes = *WriteChunkTable(std::move(spec));
    const auto decoded = DecodeWholeMember(*ChunkTable::Open(bytes), 0, AsBytes(c.compressed));
    ASSERT_EQ(decoded.status().code(), c.want.status().code()) << decoded.status();
    if (decoded.ok()) {
      EXPECT_EQ(decoded->size_bytes, *c.want);
      EXPECT_TRUE(AsText(decoded->span()).starts_with(std::string(c.chunk_bytes, 'a')));
    }
  }
}

}  // namespace
}  // namespace starling::layer
