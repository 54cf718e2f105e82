#include "layer/spilled_chunks.h"

#include <gtest/gtest.h>

namespace starling::layer {
namespace {

const int kLayers[2] = {};
const SpilledChunks::Owner kFirst = &kLayers[0];
const SpilledChunks::Owner kSecond = &kLayers[1];

SpilledChunk Chunk(uint32_t chunk, uint64_t size_bytes) {
  return {.chunk = chunk, .bytes = std::make_shared<const Bytes>(size_bytes)};
}

TEST(SpilledChunks, KeepsTheLatestOfAllLayers) {
  constexpr uint64_t kQuarter = SpilledChunks::kMaxBytes / 4;
  SpilledChunks spilled;
  EXPECT_FALSE(spilled.Find(kFirst, 0));
  for (uint32_t chunk = 0; chunk < 4; ++chunk) {
    spilled.Add(chunk < 2 ? kFirst : kSecond, Chunk(chunk, kQuarter));
  }
  EXPECT_EQ(spilled.size_bytes(), SpilledChunks::kMaxBytes);
  EXPECT_TRUE(spilled.Find(kFirst, 0));
  EXPECT_FALSE(spilled.Find(kSecond, 0)) << "another layer's";
  spilled.Add(kSecond, Chunk(4, 1));
  EXPECT_FALSE(spilled.Find(kFirst, 0)) << "the oldest goes";
  EXPECT_TRUE(spilled.Find(kFirst, 1));
  ASSERT_TRUE(spilled.Find(kSecond, 4));
  EXPECT_EQ(spilled.Find(kSecond, 4)->bytes->size(), 1U);
  EXPECT_EQ(spilled.size_bytes(), 3 * kQuarter + 1);
}

TEST(SpilledChunks, KeepsNothingThatIsTooLarge) {
  SpilledChunks spilled;
  spilled.Add(kFirst, Chunk(0, 10));
  spilled.Add(kFirst, Chunk(1, SpilledChunks::kMaxBytes + 1));
  EXPECT_FALSE(spilled.Find(kFirst, 0));
  EXPECT_FALSE(spilled.Find(kFirst, 1));
  EXPECT_EQ(spilled.size_bytes(), 0U);
}

TEST(SpilledChunks, LetsGoOfALayersThatAreNeedless) {
  SpilledChunks spilled;
  for (const SpilledChunks::Owner layer : {kFirst, kSecond}) {
    for (uint32_t chunk = 0; chunk < 3; ++chunk) {
      spilled.Add(layer, Chunk(chunk, 10));
    }
  }
  EXPECT_EQ(spilled.Drop(kFirst, [](uint32_t chunk) { return chunk != 1; }), 1U);
  EXPECT_FALSE(spilled.Find(kFirst, 0));
  EXPECT_TRUE(spilled.Find(kFirst, 1));
  EXPECT_TRUE(spilled.Find(kSecond, 0));
  EXPECT_EQ(spilled.size_bytes(), 40U);
}

}  // namespace
}  // namespace starling::layer
