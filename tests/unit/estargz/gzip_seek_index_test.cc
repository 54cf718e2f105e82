#include "estargz/gzip_seek_index.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/gzip_text.h"

namespace starling::estargz {
namespace {

constexpr size_t kHeaderBytes = 48;
constexpr size_t kRecordBytes = 24;

/// A member, a block and another member.
Bytes Sample() {
  GzipSeekIndexWriter writer;
  writer.AddMember(0, 0);
  const std::string window = testing_support::CompressibleText(kGzipWindowBytes, 1);
  EXPECT_TRUE(writer
                  .AddBlock({.blob_offset = 1000, .tar_offset = 100'000, .bit_count = 3, .bits = 5},
                            AsBytes(window))
                  .ok());
  writer.AddMember(3000, 200'000);
  auto index = writer.Finish(4000, 250'000);
  EXPECT_TRUE(index.ok()) << index.status();
  return *std::move(index);
}

TEST(GzipSeekIndex, KeepsWhatWasWritten) {
  const Bytes bytes = Sample();
  const auto index = GzipSeekIndex::Open(bytes);
  ASSERT_TRUE(index.ok()) << index.status();
  ASSERT_EQ(index->points().size(), 3U);
  const GzipPoint& block = index->points()[1];
  EXPECT_EQ(block.kind, GzipPoint::Kind::kBlock);
  EXPECT_EQ(block.bit_count, 3);
  EXPECT_EQ(block.bits, 5);
  EXPECT_EQ(index->points()[2].window_bytes, 0U) << "a member needs none";
  EXPECT_EQ(index->blob_end(), 4000U);
  EXPECT_EQ(index->tar_bytes(), 250'000U);
  const GzipSpan span = index->SpanAt(1);
  EXPECT_EQ(span.blob_offset, 1000U);
  EXPECT_EQ(span.blob_bytes, 2000U);
  EXPECT_EQ(span.tar_offset, 100'000U);
  EXPECT_EQ(span.tar_bytes, 100'000U);
  EXPECT_EQ(index->SpanAt(2).blob_bytes, 1000U);
  const auto window = index->WindowAt(1);
  ASSERT_TRUE(window.ok()) << window.status();
  EXPECT_EQ(AsText(*window), testing_support::CompressibleText(kGzipWindowBytes, 1));
  EXPECT_EQ(index->PointAt(1000), 1U);
  EXPECT_EQ(index->PointAt(1001), std::nullopt);
  EXPECT_EQ(index->PointAt(4000), std::nullopt);
}

TEST(GzipSeekIndex, DropsPointsAtTheEnd) {
  GzipSeekIndexWriter writer;
  writer.AddMember(0, 0);
  ASSERT_TRUE(writer.AddBlock({.blob_offset = 10, .tar_offset = 500}, Bytes(500)).ok());
  writer.AddMember(30, 500);
  const auto bytes = writer.Finish(40, 500);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const auto index = GzipSeekIndex::Open(*bytes);
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->points().size(), 1U);
  EXPECT_EQ(index->SpanAt(0).blob_bytes, 40U);
}

TEST(GzipSeekIndex, RefusesToWriteSpansThatNobodyReads) {
  GzipSeekIndexWriter writer;
  writer.AddMember(0, 0);
  EXPECT_EQ(writer.Finish(1 << 20, GzipSeekIndex::kMaxSpanBytes + 1).status().code(),
            StatusCode::kUnimplemented);
}

TEST(GzipSeekIndex, RefusesWhatBreaksARule) {
  const size_t first = kHeaderBytes;
  const size_t second = kHeaderBytes + kRecordBytes;
  const size_t third = kHeaderBytes + 2 * kRecordBytes;
  const struct {
    std::string_view name;
    size_t at;
    uint64_t value;
    size_t size_bytes = 8;
  } cases[] = {
      {"magic", 0, 0},
      {"version", 8, 2, 4},
      {"reserved", 12, 1, 4},
      {"no points", 16, 0},
      {"too many points", 16, GzipSeekIndex::kMaxPoints + 1},
      {"another number of points", 16, 2},
      {"blob's end before the last point", 24, 3000},
      {"blob beyond all bounds", 24, GzipSeekIndex::kMaxBytes + 1},
      {"tar's end before the last point", 32, 200'000},
      {"tar beyond all bounds", 32, GzipSeekIndex::kMaxBytes + 1},
      {"a span beyond all bounds", 32, 200'000 + GzipSeekIndex::kMaxSpanBytes + 1},
      {"a span that no deflate makes", 32, 200'000 + 1002 * 1032},
      {"windows' size", 40, 1},
      {"does not begin at the blob's start", first, 1},
      {"does not begin at the tar's start", first + 8, 1},
      {"a member with a window", first + 16, 1, 4},
      {"a member with bits", first + 20, 1, 1},
      {"points out of order", second, 3000},
      {"points out of order in the tar", second + 8, 200'000},
      {"a window of another size", second + 16, 1, 4},
      {"a block without window", second + 16, 0, 4},
      {"eight bits", second + 20, 8, 1},
      {"more bits than said", second + 21, 8, 1},
      {"unknown kind", third + 22, 2, 1},
      {"reserved of a point", third + 23, 1, 1},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Bytes bytes = Sample();
    std::memcpy(bytes.data() + c.at, &c.value, c.size_bytes);
    EXPECT_EQ(GzipSeekIndex::Open(bytes).status().code(), StatusCode::kDataLoss);
  }
  const Bytes whole = Sample();
  for (const size_t size_bytes : {size_t{0}, kHeaderBytes, whole.size() - 1}) {
    EXPECT_EQ(GzipSeekIndex::Open(ByteSpan(whole).first(size_bytes)).status().code(),
              StatusCode::kDataLoss);
  }
}

TEST(GzipSpanInflater, RefusesABrokenWindow) {
  Bytes bytes = Sample();
  bytes[kHeaderBytes + 3 * kRecordBytes] ^= std::byte{0xff};
  const auto index = GzipSeekIndex::Open(bytes);
  ASSERT_TRUE(index.ok()) << "windows are looked at when they are needed";
  GzipSpanInflater inflater;
  Bytes out(10);
  EXPECT_EQ(inflater.Inflate(*index, 1, Bytes(2000), out).code(), StatusCode::kDataLoss);
}

TEST(GzipSpanInflater, RefusesMoreThanTheSpanHas) {
  const Bytes bytes = Sample();
  const auto index = GzipSeekIndex::Open(bytes);
  ASSERT_TRUE(index.ok());
  GzipSpanInflater inflater;
  Bytes out(100'001);
  EXPECT_EQ(inflater.Inflate(*index, 0, Bytes(1000), out).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace starling::estargz
