#include "layer/spilled_chunks.h"

#include <gtest/gtest.h>

namespace starling::layer {
namespace {

SpilledChunk Chunk(uint32_t chunk, uint64_t size_bytes) {
  return {.chunk = chunk, .bytes = std::make_shared<const Bytes>(size_bytes)};
}

TEST(SpilledChunks, KeepsTheLatest) {
  constexpr uint64_t kQuarter = SpilledChunks::kMaxBytes / 4;
  SpilledChunks spilled;
  EXPECT_EQ(spilled.Find(0), nullptr);
  for (uint32_t chunk = 0; chunk < 4; ++chunk) {
    spilled.Add(Chunk(chunk, kQuarter));
  }
  EXPECT_EQ(spilled.size_bytes(), SpilledChunks::kMaxBytes);
  ASSERT_NE(spilled.Find(0), nullptr);
  spilled.Add(Chunk(4, 1));
  EXPECT_EQ(spilled.Find(0), nullptr) << "the oldest goes";
  ASSERT_NE(spilled.Find(1), nullptr);
  ASSERT_NE(spilled.Find(4), nullptr);
  EXPECT_EQ(spilled.Find(4)->bytes->size(), 1U);
  EXPECT_EQ(spilled.size_bytes(), 3 * kQuarter + 1);
}

TEST(SpilledChunks, KeepsNothingThatIsTooLarge) {
  SpilledChunks spilled;
  spilled.Add(Chunk(0, 10));
  spilled.Add(Chunk(1, SpilledChunks::kMaxBytes + 1));
  EXPECT_EQ(spilled.Find(0), nullptr);
  EXPECT_EQ(spilled.Find(1), nullptr);
  EXPECT_EQ(spilled.size_bytes(), 0U);
}

}  // namespace
}  // namespace starling::layer
