#include "estargz/gzip_indexer.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "tests/support/gzip.h"
#include "tests/support/gzip_text.h"

namespace starling::estargz {
namespace {

using testing_support::CompressibleText;
using testing_support::Gzip;
using testing_support::Noise;

/// Gives a few bytes per read.
class SlowSource : public ByteSource {
 public:
  explicit SlowSource(ByteSpan bytes) : bytes_(bytes) {}
  StatusOr<size_t> Read(std::span<std::byte> out) override {
    return bytes_.Read(out.first(std::min<size_t>(out.size(), 1000)));
  }

 private:
  SpanSource bytes_;
};

struct Indexed {
  std::string tar;
  Bytes index;
  uint64_t blob_bytes = 0;
};

StatusOr<Indexed> Index(ByteSource& source, uint64_t spacing_bytes, size_t read_bytes = 100'000) {
  GzipIndexer indexer(source, spacing_bytes);
  Indexed result;
  Bytes room(read_bytes);
  for (;;) {
    ASSIGN_OR_RETURN(const size_t count, indexer.Read(room));
    if (count == 0) {
      break;
    }
    result.tar += AsText(ByteSpan(room).first(count));
  }
  result.blob_bytes = indexer.blob_bytes();
  ASSIGN_OR_RETURN(result.index, indexer.Finish());
  return result;
}

StatusOr<Indexed> Index(std::string_view gzip, uint64_t spacing_bytes) {
  SpanSource source(AsBytes(gzip));
  return Index(source, spacing_bytes);
}

/// With blocks of fixed codes alone.
std::string FixedGzip(std::string_view content) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_FIXED), Z_OK);
  std::string member(content.size() * 2 + 100, '\0');
  stream.next_in = const_cast<Bytef*>(AsUnsigned(AsBytes(content)));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(member.data());
  stream.avail_out = static_cast<uInt>(member.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  member.resize(stream.total_out);
  deflateEnd(&stream);
  return member;
}

TEST(GzipIndexer, EverySpanInflatesToItsPartOfTheTar) {
  const std::string text = CompressibleText(3 << 20, 1);
  const std::string noise = Noise(1 << 20, 2);
  const std::string zeros(2 << 20, '\0');
  std::string members;
  for (uint32_t i = 0; i < 60; ++i) {
    members += Gzip(CompressibleText(20'000 + i * 997, i));
  }
  const struct {
    std::string_view name;
    std::string gzip;
    size_t least_points;
  } cases[] = {
      {"level 1", Gzip(text, 1), 20},
      {"level 6", Gzip(text, 6), 20},
      {"level 9", Gzip(text, 9), 20},
      {"stored blocks", Gzip(text, 0), 5},
      {"noise", Gzip(noise, 6), 2},
      {"zeros", Gzip(zeros, 6), 1},
      {"text, zeros, noise", Gzip(text + zeros + noise + text, 6), 40},
      {"fixed codes", FixedGzip(text), 1},
      {"members", members, 15},
      {"a member behind blocks", Gzip(text) + Gzip(noise) + Gzip(text), 40},
      {"empty members", Gzip("") + Gzip(text) + Gzip("") + Gzip(""), 20},
      {"padding", Gzip(text) + std::string(10'000, '\0'), 20},
      {"one byte", Gzip("x"), 1},
      {"no byte", Gzip(""), 1},
  };
  GzipSpanInflater inflater;
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto indexed = Index(c.gzip, 64 << 10);
    ASSERT_TRUE(indexed.ok()) << indexed.status();
    EXPECT_EQ(indexed->blob_bytes, c.gzip.size());
    const auto index = GzipSeekIndex::Open(indexed->index);
    ASSERT_TRUE(index.ok()) << index.status();
    EXPECT_GE(index->points().size(), c.least_points);
    ASSERT_EQ(index->tar_bytes(), indexed->tar.size());
    const ByteSpan blob = AsBytes(c.gzip);
    for (size_t point = 0; point < index->points().size(); ++point) {
      SCOPED_TRACE(point);
      const GzipSpan span = index->SpanAt(point);
      Bytes out(span.tar_bytes);
      const ByteSpan compressed = blob.subspan(span.blob_offset, span.blob_bytes);
      const Status status = inflater.Inflate(*index, point, compressed, out);
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_TRUE(AsText(out) == indexed->tar.substr(span.tar_offset, span.tar_bytes));
      if (span.tar_bytes > 1) {
        // The front alone, and with bytes behind that belong to others.
        Bytes front(span.tar_bytes / 2);
        ASSERT_TRUE(inflater.Inflate(*index, point, blob.subspan(span.blob_offset), front).ok());
        ASSERT_TRUE(AsText(front) == indexed->tar.substr(span.tar_offset, front.size()));
        EXPECT_EQ(
            inflater.Inflate(*index, point, compressed.first(compressed.size() / 2), out).code(),
            StatusCode::kDataLoss);
      }
    }
  }
}

TEST(GzipIndexer, PointsAreSpacedAndMembersNeedNoWindow) {
  const std::string text = CompressibleText(4 << 20, 5);
  constexpr uint64_t kSpacing = 512 << 10;
  const auto blocks = Index(Gzip(text), kSpacing);
  ASSERT_TRUE(blocks.ok()) << blocks.status();
  const auto index = GzipSeekIndex::Open(blocks->index);
  ASSERT_TRUE(index.ok());
  for (size_t point = 0; point + 1 < index->points().size(); ++point) {
    EXPECT_GE(index->SpanAt(point).tar_bytes, kSpacing);
    EXPECT_LE(index->SpanAt(point).tar_bytes, kSpacing + (256 << 10));
  }
  std::string members;
  for (size_t at = 0; at < text.size(); at += 128 << 10) {
    members += Gzip(std::string_view(text).substr(at, 128 << 10));
  }
  const auto of_members = Index(members, kSpacing);
  ASSERT_TRUE(of_members.ok());
  const auto second = GzipSeekIndex::Open(of_members->index);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->points().size(), 16U) << "one each half of the spacing";
  for (const GzipPoint& point : second->points()) {
    EXPECT_EQ(point.kind, GzipPoint::Kind::kMember);
  }
  EXPECT_LT(of_members->index.size(), 500U);
}

TEST(GzipIndexer, SpansGrowWithTheNumberOfPoints) {
  constexpr size_t kMemberBytes = 1000;
  const std::string member = Gzip(std::string(kMemberBytes, 'm'));
  std::string members;
  for (size_t i = 0; i < 2 * GzipIndexer::kPointsOfOneSpacing; ++i) {
    members += member;
  }
  const auto indexed = Index(members, 2 * kMemberBytes);
  ASSERT_TRUE(indexed.ok()) << indexed.status();
  const auto index = GzipSeekIndex::Open(indexed->index);
  ASSERT_TRUE(index.ok());
  const size_t one = GzipIndexer::kPointsOfOneSpacing;
  ASSERT_EQ(index->points().size(), one + one / 2);
  EXPECT_EQ(index->SpanAt(one - 2).tar_bytes, kMemberBytes);
  EXPECT_EQ(index->SpanAt(one).tar_bytes, 2 * kMemberBytes);
}

TEST(GzipIndexer, TellsPointsAround) {
  const std::string gzip = Gzip(std::string(1000, 'a')) + Gzip(std::string(500, 'b'));
  SpanSource source(AsBytes(gzip));
  GzipIndexer indexer(source, 1000);
  EXPECT_EQ(indexer.BytesToPoint(0), UINT64_MAX);
  ASSERT_TRUE(ReadAll(indexer, 10'000).ok());
  ASSERT_EQ(indexer.points().size(), 2U);
  EXPECT_EQ(indexer.PointAtOrBefore(0).tar_offset, 0U);
  EXPECT_EQ(indexer.PointAtOrBefore(999).tar_offset, 0U);
  EXPECT_EQ(indexer.PointAtOrBefore(1000).tar_offset, 1000U);
  EXPECT_EQ(indexer.BytesToPoint(0), 1000U);
  EXPECT_EQ(indexer.BytesToPoint(999), 1U);
  EXPECT_EQ(indexer.BytesToPoint(1000), UINT64_MAX);
}

TEST(GzipIndexer, FindsTheSameHoweverTheBytesCome) {
  const std::string gzip = Gzip(CompressibleText(2 << 20, 7)) + Gzip(Noise(300'000, 8));
  SpanSource fast(AsBytes(gzip));
  SlowSource slow(AsBytes(gzip));
  const auto one = Index(fast, 64 << 10, 1 << 20);
  const auto other = Index(slow, 64 << 10, 999);
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_EQ(one->index, other->index);
  EXPECT_TRUE(one->tar == other->tar);
}

TEST(GzipIndexer, RefusesBrokenLayers) {
  const std::string gzip = Gzip(CompressibleText(100'000, 9));
  const struct {
    std::string_view name;
    std::string blob;
  } cases[] = {
      {"empty", ""},
      {"zeros alone", std::string(1000, '\0')},
      {"no gzip", "a plain text"},
      {"cut", gzip.substr(0, gzip.size() - 9)},
      {"wrong checksum", gzip.substr(0, gzip.size() - 8) + "12345678"},
      {"garbage behind", gzip + "garbage"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(Index(c.blob, 64 << 10).status().code(), StatusCode::kDataLoss);
  }
}

TEST(GzipSpanInflater, DoesNotTakeAnotherSpansBytes) {
  const std::string gzip = Gzip(CompressibleText(1 << 20, 10));
  const auto indexed = Index(gzip, 64 << 10);
  ASSERT_TRUE(indexed.ok());
  const auto index = GzipSeekIndex::Open(indexed->index);
  ASSERT_TRUE(index.ok());
  ASSERT_GT(index->points().size(), 3U);
  const GzipSpan span = index->SpanAt(1);
  const GzipSpan other = index->SpanAt(2);
  GzipSpanInflater inflater;
  Bytes out(span.tar_bytes);
  const Status status =
      inflater.Inflate(*index, 1, AsBytes(gzip).subspan(other.blob_offset, other.blob_bytes), out);
  // Deflate has no checksum here, so wrong bytes may come out; the same ones may not.
  EXPECT_TRUE(!status.ok() || AsText(out) != indexed->tar.substr(span.tar_offset, span.tar_bytes));
}

}  // namespace
}  // namespace starling::estargz
