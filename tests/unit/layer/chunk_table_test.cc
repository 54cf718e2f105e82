#include "layer/chunk_table.h"

#include <gtest/gtest.h>

#include <cstring>

namespace starling::layer {
namespace {

/// Two files; the first has two chunks in members 0 and 1, the second shares member 1.
ChunkTableSpec Sample() {
  ChunkTableSpec spec;
  spec.chunks = {{.data_address = 0, .size_bytes = 4096, .member = 0},
                 {.data_address = 4096, .size_bytes = 100, .inner_offset = 0, .member = 1},
                 {.data_address = 8192, .size_bytes = 50, .inner_offset = 612, .member = 1}};
  spec.members = {{.blob_offset = 10, .blob_size = 90}, {.blob_offset = 100, .blob_size = 40}};
  spec.data_size_bytes = 12288;
  spec.blob_size_bytes = 500;
  spec.prefetch_end = 100;
  spec.has_xattrs = true;
  return spec;
}

TEST(ChunkTable, ReadsWhatWasWritten) {
  const auto bytes = WriteChunkTable(Sample());
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const auto table = ChunkTable::Open(*bytes);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->chunks().size(), 3U);
  EXPECT_EQ(table->chunks()[2], Sample().chunks[2]);
  EXPECT_EQ(table->members().size(), 2U);
  EXPECT_EQ(std::vector<uint32_t>(table->ChunksOf(1).begin(), table->ChunksOf(1).end()),
            (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(table->data_size_bytes(), 12288U);
  EXPECT_EQ(table->blob_size_bytes(), 500U);
  EXPECT_EQ(table->prefetch_end(), 100U);
  EXPECT_TRUE(table->has_xattrs());
  EXPECT_FALSE(table->no_prefetch());
}

TEST(ChunkTable, AMemberIsUnlikelyWhenAllOfItsChunksAre) {
  const struct {
    std::string_view name;
    std::vector<uint32_t> flags;  // of the chunks
    std::vector<bool> want;       // of the members
  } cases[] = {
      {"as it was written before there was a flag", {0, 0, 0}, {false, false}},
      {"one", {kUnlikely, 0, 0}, {true, false}},
      {"some", {0, kUnlikely, 0}, {false, false}},
      {"all", {0, kUnlikely, kUnlikely}, {false, true}},
      {"a flag of later times", {2, 2, 2 | kUnlikely}, {false, false}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    ChunkTableSpec spec = Sample();
    for (size_t i = 0; i < c.flags.size(); ++i) {
      spec.chunks[i].flags = c.flags[i];
    }
    const auto bytes = WriteChunkTable(spec);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    const auto table = ChunkTable::Open(*bytes);
    ASSERT_TRUE(table.ok()) << table.status();
    EXPECT_EQ(std::vector<bool>({table->IsUnlikely(0), table->IsUnlikely(1)}), c.want);
  }
}

TEST(ChunkTable, KnowsTheCodec) {
  // Where the header has its version and its codec.
  constexpr size_t kVersionAt = 8;
  constexpr size_t kCodecAt = 56;
  const struct {
    std::string_view name;
    Codec codec;
    char version;
    char stored_codec;
    StatusCode want;
  } cases[] = {
      {"gzip", Codec::kGzip, 2, 0, StatusCode::kOk},
      {"zstd", Codec::kZstd, 2, 1, StatusCode::kOk},
      {"written before there were codecs", Codec::kGzip, 1, 0, StatusCode::kOk},
      {"a codec before there were any", Codec::kZstd, 1, 1, StatusCode::kDataLoss},
      {"a whole layer", Codec::kWhole, 2, 2, StatusCode::kOk},
      {"an unknown codec", Codec::kGzip, 2, 4, StatusCode::kDataLoss},
      {"spans without a seek index", Codec::kGzip, 3, 3, StatusCode::kDataLoss},
      {"a seek index for others", Codec::kGzip, 3, 0, StatusCode::kDataLoss},
      {"a later version", Codec::kGzip, 4, 0, StatusCode::kDataLoss},
      {"no version", Codec::kGzip, 0, 0, StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    ChunkTableSpec spec = Sample();
    spec.codec = c.codec;
    auto bytes = WriteChunkTable(spec);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    (*bytes)[kVersionAt] = static_cast<std::byte>(c.version);
    (*bytes)[kCodecAt] = static_cast<std::byte>(c.stored_codec);
    const auto table = ChunkTable::Open(*bytes);
    ASSERT_EQ(table.status().code(), c.want) << table.status();
    if (table.ok()) {
      EXPECT_EQ(table->codec(), c.codec);
    }
  }
}

TEST(ChunkTable, FindsTheChunksOfARange) {
  const auto bytes = WriteChunkTable(Sample());
  ASSERT_TRUE(bytes.ok());
  const auto table = ChunkTable::Open(*bytes);
  ASSERT_TRUE(table.ok());
  const struct {
    std::string_view name;
    DataRange range;
    uint32_t first;
    uint32_t last;
  } cases[] = {
      {"one", {0, 4096}, 0, 1},
      {"over the border", {4095, 2}, 0, 2},
      {"nothing", {0, 0}, 0, 0},
      {"padding alone", {4196, 3996}, 2, 2},
      {"everything", {0, 12288}, 0, 3},
      {"last byte", {8241, 1}, 2, 3},
      {"behind the last", {8242, 10}, 3, 3},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const ChunkSpan span = table->Find(c.range);
    EXPECT_EQ(span.last - span.first, c.last - c.first);
    if (!span.empty()) {
      EXPECT_EQ(span.first, c.first);
    }
  }
}

TEST(ChunkTable, RefusesBrokenSpecs) {
  const struct {
    std::string_view name;
    void (*spoil)(ChunkTableSpec&);
  } cases[] = {
      {"overlapping chunks", [](ChunkTableSpec& s) { s.chunks[1].data_address = 4000; }},
      {"chunk outside the device", [](ChunkTableSpec& s) { s.data_size_bytes = 8200; }},
      {"empty chunk", [](ChunkTableSpec& s) { s.chunks[0].size_bytes = 0; }},
      {"huge chunk", [](ChunkTableSpec& s) { s.chunks[2].size_bytes = kMaxChunkBytes + 1; }},
      {"inner offset overflows", [](ChunkTableSpec& s) { s.chunks[2].inner_offset = UINT64_MAX; }},
      {"unknown member", [](ChunkTableSpec& s) { s.chunks[0].member = 2; }},
      {"member without chunks", [](ChunkTableSpec& s) { s.chunks[0].member = 1; }},
      {"overlapping members", [](ChunkTableSpec& s) { s.members[1].blob_offset = 99; }},
      {"member outside the blob", [](ChunkTableSpec& s) { s.blob_size_bytes = 139; }},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    ChunkTableSpec spec = Sample();
    c.spoil(spec);
    EXPECT_EQ(WriteChunkTable(spec).status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(ChunkTable, RefusesDamagedBytesWithoutReadingOutside) {
  const auto good = WriteChunkTable(Sample());
  ASSERT_TRUE(good.ok());
  for (size_t size = 0; size < good->size(); ++size) {
    const Bytes cut(good->begin(), good->begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(ChunkTable::Open(cut).status().code(), StatusCode::kDataLoss) << size;
  }
  // A wrong byte may leave a valid table with other digests; it must never leave a wild one.
  for (size_t at = 0; at < good->size(); ++at) {
    Bytes damaged = *good;
    damaged[at] ^= std::byte{0xff};
    const auto table = ChunkTable::Open(damaged);
    if (table.ok()) {
      for (const ChunkRecord& chunk : table->chunks()) {
        EXPECT_LE(chunk.range().end(), table->data_size_bytes());
        EXPECT_LT(chunk.member, table->members().size());
      }
    }
  }
}

TEST(ChunkTable, AnEmptyLayerHasAnEmptyTable) {
  const auto bytes = WriteChunkTable({.blob_size_bytes = 100});
  ASSERT_TRUE(bytes.ok());
  const auto table = ChunkTable::Open(*bytes);
  ASSERT_TRUE(table.ok());
  EXPECT_TRUE(table->chunks().empty());
  EXPECT_TRUE(table->Find({0, 1}).empty());
}

/// Two members with a chunk each, and a third without.
Bytes SeekIndex() {
  estargz::GzipSeekIndexWriter writer;
  writer.AddMember(0, 0);
  writer.AddMember(100, 5000);
  writer.AddMember(200, 6000);
  return *writer.Finish(300, 7000);
}

TEST(ChunkTable, MembersOfSpansBeginAtPoints) {
  const Bytes seek_index = SeekIndex();
  const auto spec_of = [&seek_index](void (*change)(ChunkTableSpec&)) {
    ChunkTableSpec spec;
    spec.chunks = {{.data_address = 0, .size_bytes = 4096, .inner_offset = 904, .member = 0},
                   {.data_address = 4096, .size_bytes = 100, .inner_offset = 900, .member = 1}};
    spec.members = {{.blob_offset = 0, .blob_size = 100}, {.blob_offset = 100, .blob_size = 200}};
    spec.data_size_bytes = 8192;
    spec.blob_size_bytes = 310;
    spec.codec = Codec::kGzipSpans;
    spec.seek_index = seek_index;
    change(spec);
    return spec;
  };
  const struct {
    std::string_view name;
    void (*change)(ChunkTableSpec&);
    StatusCode want;
  } cases[] = {
      {"as it should be", [](ChunkTableSpec&) {}, StatusCode::kOk},
      {"no seek index", [](ChunkTableSpec& spec) { spec.seek_index = {}; },
       StatusCode::kInvalidArgument},
      {"a broken seek index",
       [](ChunkTableSpec& spec) { spec.seek_index = spec.seek_index.first(60); },
       StatusCode::kInvalidArgument},
      {"a member between points", [](ChunkTableSpec& spec) { spec.members[1].blob_offset = 101; },
       StatusCode::kInvalidArgument},
      {"half a span", [](ChunkTableSpec& spec) { spec.members[0].blob_size = 99; },
       StatusCode::kInvalidArgument},
      {"a chunk behind its span", [](ChunkTableSpec& spec) { spec.chunks[0].inner_offset = 905; },
       StatusCode::kInvalidArgument},
      {"points behind the blob",
       [](ChunkTableSpec& spec) {
         spec.blob_size_bytes = 299;
         spec.members[1].blob_size = 100;
       },
       StatusCode::kInvalidArgument},
      {"a seek index where none belongs", [](ChunkTableSpec& spec) { spec.codec = Codec::kGzip; },
       StatusCode::kInvalidArgument},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto bytes = WriteChunkTable(spec_of(c.change));
    ASSERT_EQ(bytes.status().code(), c.want) << bytes.status();
    if (!bytes.ok()) {
      continue;
    }
    const auto table = ChunkTable::Open(*bytes);
    ASSERT_TRUE(table.ok()) << table.status();
    ASSERT_NE(table->seek_index(), nullptr);
    EXPECT_EQ(table->seek_index()->points().size(), 3U);
  }
}

}  // namespace
}  // namespace starling::layer
