#include "layer/index_builder.h"

#include <gtest/gtest.h>

#include "erofs/image_reader.h"
#include "layer/chunk_table.h"
#include "layer/member_decoder.h"
#include "tests/support/toc_json.h"

namespace starling::layer {
namespace {

using testing_support::FakeDigest;
using testing_support::TocDocument;

StatusOr<LayerIndex> Build(const std::string& json, uint64_t payload_end) {
  ASSIGN_OR_RETURN(estargz::Toc toc, estargz::Toc::Parse(AsBytes(json)));
  ASSIGN_OR_RETURN(const estargz::LayerTree tree,
                   estargz::LayerTree::Build(std::move(toc), payload_end));
  return BuildIndex(tree, payload_end + 1000, Codec::kGzip);
}

std::string File(std::string_view name, uint64_t size, uint64_t offset, uint64_t inner_offset,
                 char digit) {
  return fmt::format(R"({{"name":"{0}","type":"reg","size":{1},"offset":{2},"innerOffset":{3},)"
                     R"("mode":420,"digest":"{4}","chunkDigest":"{4}"}})",
                     name, size, offset, inner_offset, FakeDigest(digit));
}

TEST(BuildIndex, FilesThatShareAMemberShareItsFetch) {
  const std::string early = File("z", 5000, 100, 0, '1');
  const std::string inner = File("y", 10, 100, 5000, '2');
  const std::string late = File("a", 7, 900, 0, '3');
  const auto index = Build(TocDocument({early, inner, late}), 2000);
  ASSERT_TRUE(index.ok()) << index.status();
  const auto table = ChunkTable::Open(index->chunk_table);
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_EQ(table->members().size(), 2U);
  EXPECT_EQ(table->members()[0].blob_offset, 100U);
  EXPECT_EQ(table->members()[0].end(), 900U);
  EXPECT_EQ(table->members()[1].end(), 2000U);
  ASSERT_EQ(table->chunks().size(), 3U);
  EXPECT_EQ(table->chunks()[0].range(), (DataRange{0, 5000}));
  EXPECT_EQ(table->chunks()[1].range(), (DataRange{8192, 10}));
  EXPECT_EQ(table->chunks()[1].inner_offset, 5000U);
  EXPECT_EQ(table->chunks()[2].range(), (DataRange{12288, 7}));
  EXPECT_EQ(table->ChunksOf(0).size(), 2U);
  EXPECT_EQ(index->info.data_size_bytes, 16384U);
  EXPECT_EQ(index->info.blob_size_bytes, 3000U);
  const auto image = erofs::ImageReader::Open(index->image);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->inode_count(), 4U);
  const auto nid = image->Lookup(image->root(), "y");
  ASSERT_TRUE(nid.ok());
  EXPECT_EQ(image->Stat(*nid)->data_address, 8192U);
}

TEST(BuildIndex, AMemberIsUnlikelyWhenAllOfItsFilesAre) {
  const auto index =
      Build(TocDocument({File("tests/a", 10, 100, 0, '1'), File("tests/b", 10, 200, 0, '2'),
                         File("b", 10, 200, 10, '3')}),
            2000);
  ASSERT_TRUE(index.ok()) << index.status();
  const auto table = ChunkTable::Open(index->chunk_table);
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_EQ(table->members().size(), 2U);
  EXPECT_TRUE(table->IsUnlikely(0));
  EXPECT_FALSE(table->IsUnlikely(1));
}

TEST(BuildIndexOfPlaced, FilesKeepTheirPlaces) {
  const auto build = [](std::span<const PlacedFile> placed) -> StatusOr<LayerIndex> {
    const std::string first = File("z", 5000, 0, 512, '1');
    const std::string later = File("a", 7, 0, 20'000, '2');
    ASSIGN_OR_RETURN(estargz::Toc toc, estargz::Toc::Parse(AsBytes(TocDocument({first, later}))));
    ASSIGN_OR_RETURN(const estargz::LayerTree tree,
                     estargz::LayerTree::Build(std::move(toc), 3000));
    return BuildIndexOfPlaced(tree, 3000, placed);
  };
  // One in between was replaced.
  const auto index = build(std::vector<PlacedFile>{{512, 0}, {8000, 8192}, {20'000, 16384}});
  ASSERT_TRUE(index.ok()) << index.status();
  const auto table = ChunkTable::Open(index->chunk_table);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->codec(), Codec::kWhole);
  ASSERT_EQ(table->members().size(), 1U);
  EXPECT_EQ(table->members()[0].end(), 3000U);
  ASSERT_EQ(table->chunks().size(), 2U);
  EXPECT_EQ(table->chunks()[1].range(), (DataRange{16384, 7}));
  EXPECT_EQ(table->chunks()[1].inner_offset, 20'000U);
  EXPECT_EQ(index->info.data_size_bytes, 20480U);
  const std::vector<PlacedFile> impossible[] = {
      {{512, 0}},                    // one has none
      {{512, 0}, {20'001, 8192}},    // of another file
      {{512, 0}, {20'000, 4096}},    // inside of the first one
      {{512, 0}, {20'000, 16385}}};  // no block
  for (const auto& placed : impossible) {
    EXPECT_EQ(build(placed).status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(BuildIndex, HolesHaveAnAddressAndNoChunk) {
  const std::string digest = FakeDigest('1');
  const std::string first = fmt::format(
      R"({{"name":"f","type":"reg","size":20000,"offset":100,"chunkSize":5000,"chunkDigest":"{0}"}},)"
      R"({{"type":"chunk","chunkType":"zeros","offset":200,"chunkOffset":5000,"chunkSize":10000}},)"
      R"({{"type":"chunk","offset":210,"chunkOffset":15000,"chunkSize":5000,"chunkDigest":"{0}"}})",
      digest);
  const std::string hole =
      R"({"name":"h","type":"reg","size":9000,"offset":300,"chunkSize":9000,"chunkType":"zeros"})";
  const std::string last = File("l", 10, 400, 0, '2');
  const auto index = Build(TocDocument({first, hole, last}), 2000);
  ASSERT_TRUE(index.ok()) << index.status();
  const auto table = ChunkTable::Open(index->chunk_table);
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_EQ(table->chunks().size(), 3U);
  EXPECT_EQ(index->info.chunk_count, 3U);
  EXPECT_EQ(table->chunks()[0].range(), (DataRange{0, 5000}));
  EXPECT_EQ(table->chunks()[1].range(), (DataRange{15000, 5000}));
  EXPECT_EQ(table->chunks()[2].range(), (DataRange{20480 + 12288, 10}));
  EXPECT_TRUE(table->Find({5000, 10000}).empty()) << "present without a fetch";
  EXPECT_TRUE(table->Find({20480, 9000}).empty());
  ASSERT_EQ(table->members().size(), 3U);
  EXPECT_EQ(table->members()[0].end(), table->members()[1].blob_offset)
      << "one request can bring both";
  EXPECT_EQ(table->members()[1].end(), table->members()[2].blob_offset);
  EXPECT_EQ(index->info.data_size_bytes, 20480U + 12288U + 4096U);
}

TEST(BuildIndex, RefusesChunksThatNoMemoryShouldHold) {
  struct Case {
    uint64_t size_bytes;
    uint64_t inner_offset;
    const char* says;  // null: it is taken
  };
  const Case cases[] = {
      {kMaxChunkBytes, kMaxMemberBytes - kMaxChunkBytes, nullptr},
      {kMaxChunkBytes + 1, 0, "\"d/huge\": a chunk of 268435457 bytes, 0 bytes into its member"},
      {kMaxChunkBytes, kMaxMemberBytes - kMaxChunkBytes + 1, "convert the image with smaller"},
      {10, kMaxMemberBytes, "\"d/huge\": a chunk of 10 bytes, 536870912 bytes into its member"},
      {uint64_t{4} << 30, 0, "\"d/huge\": the chunk has more than 1073741824 bytes"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(fmt::format("{} bytes at {}", c.size_bytes, c.inner_offset));
    const std::string huge = File("d/huge", c.size_bytes, 100, c.inner_offset, '1');
    const auto index = Build(TocDocument({huge}), uint64_t{5} << 30);
    if (c.says == nullptr) {
      EXPECT_TRUE(index.ok()) << index.status();
      continue;
    }
    EXPECT_EQ(index.status().code(), StatusCode::kResourceExhausted);
    const std::string message(MessageOf(index.status()));
    EXPECT_NE(message.find(c.says), std::string::npos) << message;
  }
}

TEST(BuildIndex, IsDeterministic) {
  const std::string file = File("a", 5000, 100, 0, '1');
  const auto one = Build(TocDocument({file}), 2000);
  const auto two = Build(TocDocument({file}), 2000);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->image, two->image);
  EXPECT_EQ(one->chunk_table, two->chunk_table);
}

TEST(BuildIndex, AnEmptyLayerIsALayer) {
  const auto index = Build(TocDocument({}), 0);
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->info.chunk_count, 0U);
  EXPECT_TRUE(erofs::ImageReader::Open(index->image).ok());
}

}  // namespace
}  // namespace starling::layer
