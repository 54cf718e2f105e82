// What a reader of a lazy layer sees of a disk that is damaged, full, read-only or was cut off.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "layer/eviction.h"
#include "tests/support/evictable_layers.h"

namespace starling::layer {
namespace {

using testing_support::FaultyFileSystem;
using Operation = FaultyFileSystem::Operation;

class DiskFaultsTest : public testing_support::EvictableLayersFixture {};

TEST_F(DiskFaultsTest, WhatTheDiskDoesNotGiveIsFetchedAgain) {
  Layer& layer = Open(1);
  ReadChunks(layer, 0, 4);
  const size_t before = layer.blob->requests();
  int left = 2;  // the read, and the question which chunk it was
  files_.set_hook([&](const FaultyFileSystem::Call& call) {
    return call.operation == Operation::kRead && call.path.filename() == "data" && left-- > 0
               ? ErrnoError(EIO, "pread")
               : OkStatus();
  });
  ReadChunks(layer, 2, 3);
  EXPECT_EQ(layer.blob->requests(), before + 1);
  ReadChunks(layer, 0, 4);
  EXPECT_EQ(layer.blob->requests(), before + 1) << "it was written anew, and is read";
}

TEST_F(DiskFaultsTest, ADiskThatGivesNothingIsServedAround) {
  Layer& layer = Open(1);
  ReadChunks(layer, 0, 4);
  Break(Operation::kRead, EIO);
  const size_t before = layer.blob->requests();
  ReadChunks(layer, 0, 4);
  EXPECT_LE(layer.blob->requests(), before + 8) << "tried on the disk once more";
  const size_t after = layer.blob->requests();
  ReadChunks(layer, 0, 4);
  EXPECT_EQ(layer.blob->requests(), after) << "they are kept in memory for a while";
}

TEST_F(DiskFaultsTest, ADiskThatTakesNothingIsServedThroughMemory) {
  for (const int error : {EROFS, EIO, ENOSPC}) {
    SCOPED_TRACE(error);
    Layer& layer = Open(static_cast<uint32_t>(error));
    Break(Operation::kWrite, error);
    ReadChunks(layer, 0, kChunks);
    EXPECT_EQ(Held(layer), "................");
    files_.set_hook({});
  }
}

TEST_F(DiskFaultsTest, AfterALossOfPowerWhatIsThereIsNotFetchedAgain) {
  SetBoot("1");
  {
    Layer& layer = Open(1);
    ReadChunks(layer, 0, 4);
    ASSERT_TRUE(store_->Checkpoint().ok());
    ReadChunks(layer, 4, 12);
    Damage(layer, 6);
    Damage(layer, 10);
  }
  CloseStore();
  SetBoot("2");
  Layer& layer = Open(1);
  EXPECT_EQ(Held(layer), "xxxx............");
  ReadChunks(layer, 0, 8);
  EXPECT_EQ(layer.blob->requests(), 1U) << "of what was lost";
  EXPECT_EQ(Held(layer), "xxxxxxxx........");
  layer.lazy->FetchAll();
  ReadChunks(layer, 0, kChunks);
  EXPECT_TRUE(layer.stored->complete());
  EXPECT_EQ(layer.stored->doubtful_count(), 0U);
}

TEST_F(DiskFaultsTest, WhatIsDoubtfulCanBeEvicted) {
  SetBoot("1");
  ReadChunks(Open(1), 0, 8);
  CloseStore();
  SetBoot("2");
  Layer& layer = Open(1);
  const uint64_t before = layer.stored->disk_bytes();
  EXPECT_EQ(MakeRoom(std::vector{layer.lazy}, 8 * kChunk), 8 * kChunk);
  EXPECT_EQ(layer.stored->doubtful_count(), 0U);
  EXPECT_LE(layer.stored->disk_bytes(), before - 8 * kChunk);
  ReadChunks(layer, 0, 8);
}

}  // namespace
}  // namespace starling::layer
