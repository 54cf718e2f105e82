#include "estargz/chunk_map.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/toc_json.h"

namespace starling::estargz {
namespace {

using testing_support::FakeDigest;
using testing_support::TocDocument;

constexpr uint64_t kPayloadEnd = 1000;

// A regular file whose digest is 1111..., with `fields` added.
std::string File(std::string_view fields) {
  return R"({"name":"f","type":"reg",)" + testing_support::DigestField() + "," +
         std::string(fields) + "}";
}

// A chunk entry whose digest is 2222..., with `fields` added.
std::string More(std::string_view fields) {
  return R"({"name":"f","type":"chunk","chunkDigest":")" + FakeDigest('2') + R"(",)" +
         std::string(fields) + "}";
}

StatusOr<ChunkMap> Map(const std::vector<std::string>& entries, const TocLimits& limits = {}) {
  const StatusOr<Toc> toc = Toc::Parse(AsBytes(TocDocument(entries)));
  if (!toc.ok()) {
    return toc.status();
  }
  return MapChunks(toc->entries(), kPayloadEnd, limits);
}

// "file_offset+size@blob_offset+blob_size/inner_offset" for each chunk.
std::string Describe(const ChunkMap& map) {
  std::string text;
  for (const Chunk& chunk : map.chunks) {
    text += fmt::format("{}{}+{}@{}+{}/{}", text.empty() ? "" : " ", chunk.file_offset,
                        chunk.size_bytes, chunk.blob_offset, chunk.blob_size, chunk.inner_offset);
  }
  return text;
}

TEST(MapChunks, FindsWhereEachMemberEnds) {
  const struct {
    std::string_view name;
    std::vector<std::string> entries;
    std::string_view want;
  } cases[] = {
      {"nothing", {}, ""},
      {"one file",
       {R"({"type":"reg","size":5,"offset":10,"digest":"sha256:1111111111111111111111111111111111111111111111111111111111111111"})"},
       "0+5@10+990/0"},
      {"empty file", {R"({"type":"reg","offset":2000})"}, ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const StatusOr<ChunkMap> map = Map(c.entries);
    ASSERT_TRUE(map.ok()) << map.status();
    EXPECT_EQ(Describe(*map), c.want);
  }
}

TEST(MapChunks, AHoleTakesNothingOfTheBlob) {
  const std::string zeros = R"("chunkType":"zeros",)";
  const StatusOr<ChunkMap> map = Map(
      {File(R"("size":40,"offset":10,"chunkSize":10,"chunkDigest":")" + FakeDigest('3') + R"(")"),
       R"({"type":"chunk","chunkType":"zeros","offset":20,"chunkOffset":10,"chunkSize":20})",
       More(R"("offset":30,"chunkOffset":30,"chunkSize":10)"),
       File(zeros + R"("size":7,"offset":50,"chunkSize":7)")});
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_EQ(Describe(*map), "0+10@10+20/0 10+20@20+0/0 30+10@30+970/0 0+7@50+0/0")
      << "the hole's frame counts as the end of the member before";
  EXPECT_FALSE(map->chunks[0].is_hole);
  EXPECT_TRUE(map->chunks[1].is_hole);
  EXPECT_TRUE(map->chunks[1].digest.empty()) << "there is nothing to verify";
  EXPECT_TRUE(map->chunks[3].is_hole);
}

TEST(MapChunks, ReadsFilesOfSeveralChunks) {
  const StatusOr<ChunkMap> map = Map(
      {File(R"("size":25,"offset":10,"chunkSize":10,"chunkDigest":")" + FakeDigest('3') + R"(")"),
       More(R"("offset":20,"chunkOffset":10,"chunkSize":10)"),
       More(R"("offset":30,"chunkOffset":20)"), R"({"name":"d","type":"dir"})",
       File(R"("size":1,"offset":40,"chunkSize":1)")});
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_EQ(Describe(*map), "0+10@10+10/0 10+10@20+10/0 20+5@30+10/0 0+1@40+960/0");
  ASSERT_EQ(map->files.size(), 5U);
  EXPECT_EQ(map->files[0].count, 3U);
  EXPECT_EQ(map->files[1].count, 0U);
  EXPECT_EQ(map->files[4].first, 3U);
  EXPECT_EQ(map->files[4].count, 1U);
  EXPECT_EQ(map->chunks[0].digest.ToString(), FakeDigest('3'));
  EXPECT_EQ(map->chunks[1].digest.ToString(), FakeDigest('2'));
  EXPECT_EQ(map->chunks[3].digest.ToString(), FakeDigest('1')) << "the file's own digest";
}

TEST(MapChunks, KeepsChunksOfOneMemberTogether) {
  const StatusOr<ChunkMap> map =
      Map({File(R"("size":5,"offset":0,"innerOffset":512)"),
           File(R"("size":6,"offset":0,"innerOffset":1536)"), File(R"("size":7,"offset":100)"),
           File(R"("size":8,"offset":100,"innerOffset":7)"),
           File(R"("size":9,"offset":300,"innerOffset":512)")});
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_EQ(Describe(*map),
            "0+5@0+100/512 0+6@0+100/1536 0+7@100+200/0 0+8@100+200/7 0+9@300+700/512");
}

TEST(MapChunks, RefusesWhatDoesNotFitTogether) {
  const std::string ten = File(R"("size":10,"offset":10,"chunkSize":5)");
  const std::string no_digest = R"({"type":"reg","size":5,"offset":10})";
  const std::string no_chunk_digest = File(R"("size":10,"offset":10,"chunkSize":5)");
  const struct {
    std::string_view name;
    std::vector<std::string> entries;
  } cases[] = {
      {"chunk without a file", {More(R"("offset":10)")}},
      {"chunk behind a directory",
       {ten, R"({"name":"d","type":"dir"})", More(R"("offset":20,"chunkOffset":5)")}},
      {"chunk of an empty file", {File(R"("size":0)"), More(R"("offset":20)")}},
      {"file not covered",
       {File(R"("size":10,"offset":10,"chunkSize":5,"chunkDigest":")" + FakeDigest('3') + R"(")")}},
      {"file not covered, another follows",
       {File(R"("size":10,"offset":10,"chunkSize":5,"chunkDigest":")" + FakeDigest('3') + R"(")"),
        File(R"("size":0)")}},
      {"gap",
       {File(R"("size":10,"offset":10,"chunkSize":5,"chunkDigest":")" + FakeDigest('3') + R"(")"),
        More(R"("offset":20,"chunkOffset":6)")}},
      {"overlap in the file",
       {File(R"("size":10,"offset":10,"chunkSize":5,"chunkDigest":")" + FakeDigest('3') + R"(")"),
        More(R"("offset":20,"chunkOffset":4)")}},
      {"first chunk not at 0", {File(R"("size":10,"offset":10,"chunkOffset":1)")}},
      {"chunk larger than the file", {File(R"("size":10,"offset":10,"chunkSize":11)")}},
      {"chunk behind the end",
       {File(R"("size":10,"offset":10)"), More(R"("offset":20,"chunkOffset":10)")}},
      {"no digest", {no_digest}},
      {"part of a file without a digest of its own", {no_chunk_digest}},
      {"at the payload's end", {File(R"("size":10,"offset":1000)")}},
      {"behind the payload", {File(R"("size":10,"offset":9223372036854775807)")}},
      {"backwards", {File(R"("size":10,"offset":20)"), File(R"("size":10,"offset":19)")}},
      {"same member twice", {File(R"("size":10,"offset":20)"), File(R"("size":10,"offset":20)")}},
      {"overlap in a member",
       {File(R"("size":10,"offset":20)"), File(R"("size":1,"offset":20,"innerOffset":9)")}},
      {"inner offset without bound",
       {File(R"("size":10,"offset":20,"innerOffset":9223372036854775807)")}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(Map(c.entries).status().code(), StatusCode::kDataLoss);
  }
}

TEST(MapChunks, HonoursItsLimits) {
  const std::string a = File(R"("size":10,"offset":10)");
  const std::string b = File(R"("size":10,"offset":20)");
  EXPECT_TRUE(Map({a, b}, {.file_bytes = 10, .chunk_bytes = 10, .layer_bytes = 20}).ok());
  EXPECT_EQ(Map({a, b}, {.file_bytes = 9}).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Map({a, b}, {.chunk_bytes = 9}).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Map({a, b}, {.layer_bytes = 19}).status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace starling::estargz
