#include "layer/verification.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/evictable_layers.h"

namespace starling::layer {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing_support::FaultyFileSystem;

class VerificationTest : public testing_support::EvictableLayersFixture {
 protected:
  StatusOr<std::vector<uint32_t>> Verify(const Layer& layer) {
    checked_bytes_ = 0;
    return VerifyHeld(*layer.stored, layer.lazy->chunks(), [this](uint64_t bytes) {
      checked_bytes_ += bytes;
      return true;
    });
  }
  uint64_t checked_bytes_ = 0;
};

TEST_F(VerificationTest, FindsAndDropsWhatIsWrong) {
  Layer& layer = Open(1);
  ReadChunks(layer, 0, 12);
  EXPECT_THAT(Verify(layer).value(), IsEmpty());
  EXPECT_EQ(checked_bytes_, 12 * kChunk);
  Damage(layer, 3);
  Damage(layer, 4);
  Damage(layer, 9);
  EXPECT_THAT(Verify(layer).value(), ElementsAre(3, 4, 9));
  EXPECT_EQ(Held(layer), "xxx..xxxx.xx....");
  EXPECT_THAT(Verify(layer).value(), IsEmpty());
  EXPECT_EQ(checked_bytes_, 9 * kChunk);
  ReadChunks(layer, 0, kChunks);
}

TEST_F(VerificationTest, WhatCannotBeReadIsWrong) {
  Layer& layer = Open(1);
  ReadChunks(layer, 0, 4);
  int reads = 0;
  files_.set_hook([&](const FaultyFileSystem::Call& call) {
    return call.operation == FaultyFileSystem::Operation::kRead && call.path.filename() == "data" &&
                   ++reads == 2
               ? ErrnoError(EIO, "pread")
               : OkStatus();
  });
  EXPECT_THAT(Verify(layer).value(), ElementsAre(1));
  EXPECT_EQ(Held(layer), "x.xx............");
}

TEST_F(VerificationTest, EndsWhenToldAndKeepsWhatItFound) {
  Layer& layer = Open(1);
  ReadChunks(layer, 0, kChunks);
  Damage(layer, 1);
  Damage(layer, 9);
  int left = 4;
  EXPECT_EQ(VerifyHeld(*layer.stored, layer.lazy->chunks(), [&](uint64_t) { return --left > 0; })
                .status()
                .code(),
            StatusCode::kCancelled);
  EXPECT_EQ(Held(layer), "x.xxxxxxxxxxxxxx");
}

TEST_F(VerificationTest, WhatIsPinnedLosesTheMarkAndNotTheBytes) {
  Layer& layer = Open(1);
  ReadChunks(layer, 0, kChunks);
  ASSERT_TRUE(layer.stored->PinIfComplete());
  Damage(layer, 5);
  EXPECT_THAT(Verify(layer).value(), ElementsAre(5));
  EXPECT_FALSE(layer.stored->complete());
  Bytes bytes(7);
  ASSERT_TRUE(layer.stored->Read(5 * kChunk + 100, bytes).ok());
  EXPECT_EQ(AsText(bytes), "damaged") << "no better than zeros, and no worse";
  ReadChunks(layer, 5, 6);
  ASSERT_TRUE(layer.stored->Read(5 * kChunk + 100, bytes).ok());
  EXPECT_EQ(AsText(bytes), layer.content.substr(5 * kChunk + 100, 7)) << "mended in place";
}

}  // namespace
}  // namespace starling::layer
