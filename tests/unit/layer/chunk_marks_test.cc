#include "layer/chunk_marks.h"

#include <gtest/gtest.h>

#include <array>
#include <thread>

namespace starling::layer {
namespace {

TEST(ChunkMarks, AreSetOnce) {
  ChunkMarks marks(130);
  EXPECT_FALSE(marks.any());
  for (const uint32_t chunk : {0U, 63U, 64U, 129U}) {
    EXPECT_FALSE(marks.Has(chunk)) << chunk;
    EXPECT_TRUE(marks.Set(chunk)) << chunk;
    EXPECT_FALSE(marks.Set(chunk)) << chunk << " has one already";
    EXPECT_TRUE(marks.Has(chunk)) << chunk;
  }
  EXPECT_FALSE(marks.Has(1));
  EXPECT_FALSE(marks.Has(128));
  EXPECT_TRUE(marks.any());
  marks.Clear();
  EXPECT_FALSE(marks.any());
  EXPECT_TRUE(marks.Set(129));
}

TEST(ChunkMarks, ALayerMayHaveNoChunks) { EXPECT_FALSE(ChunkMarks(0).any()); }

TEST(ChunkMarks, OneOfTwoThreadsIsTheFirst) {
  constexpr uint32_t kChunks = 1000;
  ChunkMarks marks(kChunks);
  std::array<uint32_t, 2> firsts{};
  {
    std::array<std::jthread, 2> threads;
    for (size_t i = 0; i < threads.size(); ++i) {
      threads[i] = std::jthread([&marks, &count = firsts[i]] {
        uint32_t set = 0;
        for (uint32_t chunk = 0; chunk < kChunks; ++chunk) {
          set += marks.Set(chunk) ? 1 : 0;
        }
        count = set;
      });
    }
  }
  EXPECT_EQ(firsts[0] + firsts[1], kChunks);
}

}  // namespace
}  // namespace starling::layer
