#include "layer/kept_digests.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/store_fixture.h"

namespace starling::layer {
namespace {

using testing_support::FaultyFileSystem;

class KeptDigestsTest : public testing_support::StoreFixture {
 protected:
  /// Digests of `chunks` chunks, the same for the same `seed`.
  static ChunkDigests Digests(uint32_t chunks, uint8_t seed) {
    ChunkTableSpec spec{.data_size_bytes = chunks, .blob_size_bytes = 1};
    spec.members.push_back({.blob_offset = 0, .blob_size = 1});
    for (uint32_t i = 0; i < chunks; ++i) {
      oci::Digest::Value digest{};
      digest[0] = static_cast<std::byte>(i >> 16);
      digest[1] = static_cast<std::byte>(i >> 8);
      digest[2] = static_cast<std::byte>(i);
      digest[3] = static_cast<std::byte>(seed);
      spec.chunks.push_back(
          {.data_address = i, .size_bytes = 1, .inner_offset = i, .member = 0, .digest = digest});
    }
    const Bytes table = *WriteChunkTable(std::move(spec));
    return ChunkDigests::Of(*ChunkTable::Open(table));
  }
  /// How often a list was opened since the last call.
  size_t Opened() {
    const auto calls = files_.calls();
    const auto count = static_cast<size_t>(std::ranges::count_if(calls, [](const auto& call) {
      return call.operation == FaultyFileSystem::Operation::kOpen &&
             call.path.filename() == "digests";
    }));
    return count - std::exchange(opened_, count);
  }
  store::LayerKey Make(std::string_view name) {
    const store::LayerKey key = Key(name);
    EXPECT_TRUE(Create(*layers_, key).ok());
    return key;
  }

  std::unique_ptr<store::LayerStore> layers_ = OpenStore();
  size_t opened_ = 0;
};

TEST_F(KeptDigestsTest, AreReadOnceByAProcess) {
  const store::LayerKey key = Make("a");
  const ChunkDigests digests = Digests(10, 1);
  KeptDigests first(*layers_);
  EXPECT_EQ(first.Find(key).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(first.Add(key, digests).ok());
  Opened();
  ASSERT_TRUE(first.Find(key).ok());
  EXPECT_EQ(Opened(), 0U) << "it has them still";
  KeptDigests second(*layers_);
  for (int i = 0; i < 3; ++i) {
    const auto found = second.Find(key);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_TRUE(std::ranges::equal((*found)->entries(), digests.entries()));
  }
  EXPECT_EQ(Opened(), 1U);
}

TEST_F(KeptDigestsTest, OfALayerThatHasGoneAreNotKept) {
  KeptDigests kept(*layers_);
  EXPECT_EQ(kept.Add(Key("none"), Digests(1, 1)).code(), StatusCode::kNotFound);
  EXPECT_EQ(kept.Find(Key("none")).status().code(), StatusCode::kNotFound);
}

TEST_F(KeptDigestsTest, TakeNoMoreMemoryThanTheyMay) {
  constexpr uint32_t kThird = KeptDigests::kMaxBytes / 3 / sizeof(ChunkDigests::Entry);
  KeptDigests kept(*layers_);
  const store::LayerKey a = Make("a");
  const store::LayerKey b = Make("b");
  const store::LayerKey c = Make("c");
  ASSERT_TRUE(kept.Add(a, Digests(kThird, 1)).ok());
  ASSERT_TRUE(kept.Add(b, Digests(kThird, 2)).ok());
  ASSERT_TRUE(kept.Find(a).ok());
  ASSERT_TRUE(kept.Add(c, Digests(kThird, 3)).ok());
  Opened();
  ASSERT_TRUE(kept.Find(a).ok());
  ASSERT_TRUE(kept.Find(c).ok());
  EXPECT_EQ(Opened(), 0U);
  ASSERT_TRUE(kept.Find(b).ok());
  EXPECT_EQ(Opened(), 1U) << "the one that was used the longest ago";
  const store::LayerKey large = Make("large");
  ASSERT_TRUE(kept.Add(large, Digests(3 * kThird + 1, 4)).ok());
  Opened();
  ASSERT_TRUE(kept.Find(large).ok());
  ASSERT_TRUE(kept.Find(b).ok());
  EXPECT_EQ(Opened(), 1U) << "one that is too large is read each time, and drives out nothing";
}

TEST_F(KeptDigestsTest, DamagedOnesAreAnError) {
  const store::LayerKey key = Make("a");
  ASSERT_TRUE(layers_->WriteDerived(key, "digests", AsBytes("no digests")).ok());
  EXPECT_EQ(KeptDigests(*layers_).Find(key).status().code(), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace starling::layer
