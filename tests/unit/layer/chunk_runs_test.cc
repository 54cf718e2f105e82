#include "layer/chunk_runs.h"

#include <gtest/gtest.h>

namespace starling::layer {
namespace {

/// Chunks of 4096, 100, 50 bytes; the second one shares its block with the third.
class ChunkRunsTest : public testing::Test {
 protected:
  static Bytes Table() {
    ChunkTableSpec spec;
    spec.chunks = {{.data_address = 0, .size_bytes = 4096, .member = 0},
                   {.data_address = 4096, .size_bytes = 100, .member = 0},
                   {.data_address = 4196, .size_bytes = 50, .member = 0},
                   {.data_address = 8192, .size_bytes = 5000, .member = 0}};
    spec.members = {{.blob_offset = 10, .blob_size = 90}};
    spec.data_size_bytes = 16384;
    spec.blob_size_bytes = 500;
    return *WriteChunkTable(spec);
  }
  static std::string Text(const std::vector<store::ChunkRun>& runs) {
    std::string text;
    for (const store::ChunkRun& run : runs) {
      text += fmt::format("[{},{}) {}+{} ", run.first_chunk, run.last_chunk, run.data_address,
                          run.size_bytes);
    }
    return text;
  }

  const Bytes bytes_ = Table();
  const ChunkTable table_ = *ChunkTable::Open(bytes_);
};

TEST_F(ChunkRunsTest, AreWholeBlocksWhereNobodyElseIsInThem) {
  const struct {
    std::string_view name;
    std::vector<uint32_t> wanted;
    uint64_t wanted_bytes;
    std::string_view want;
  } cases[] = {
      {"none", {}, UINT64_MAX, ""},
      {"all", {0, 1, 2, 3}, UINT64_MAX, "[0,4) 0+16384 "},
      {"its block is another's, too", {1}, UINT64_MAX, "[1,2) 4096+100 "},
      {"the end of a block", {2}, UINT64_MAX, "[2,3) 4196+3996 "},
      {"apart", {0, 3}, UINT64_MAX, "[0,1) 0+4096 [3,4) 8192+8192 "},
      {"enough", {0, 1, 3}, 4100, "[0,2) 0+4196 "},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(Text(RunsOf(
                  table_,
                  [&](uint32_t chunk) {
                    return std::find(c.wanted.begin(), c.wanted.end(), chunk) != c.wanted.end();
                  },
                  c.wanted_bytes)),
              c.want);
  }
  EXPECT_EQ(ChunkBytesOf(table_)(3), 5000U);
}

}  // namespace
}  // namespace starling::layer
