#include "store/presence_map.h"

#include <gtest/gtest.h>

#include <functional>
#include <thread>
#include <vector>

#include "base/temp_dir.h"

namespace starling::store {
namespace {

class PresenceMapTest : public testing::Test {
 protected:
  std::unique_ptr<PresenceMap> Open(uint64_t chunk_count) {
    return *PresenceMap::Open(RealFileSystem(), path_, chunk_count);
  }
  void Write(ByteSpan bytes) {
    ASSERT_TRUE(WriteFileAtomically(RealFileSystem(), path_, bytes, 0600).ok());
  }

  TempDir directory_ = *TempDir::Make(testing::TempDir(), "presence_map");
  std::filesystem::path path_ = directory_.path() / "present";
};

TEST_F(PresenceMapTest, KeepsBitsInTheFile) {
  for (const uint64_t chunk_count : {1, 63, 64, 65, 1000}) {
    SCOPED_TRACE(chunk_count);
    Write(PresenceMap::Empty(chunk_count));
    auto map = Open(chunk_count);
    EXPECT_EQ(map->present_count(), 0);
    for (uint64_t chunk = 0; chunk < chunk_count; chunk += 3) {
      EXPECT_FALSE(map->IsSet(chunk));
      map->Set(chunk, 10);
      map->Set(chunk, 10);
    }
    const uint64_t set = (chunk_count + 2) / 3;
    EXPECT_EQ(map->present_count(), set);
    map = Open(chunk_count);
    EXPECT_EQ(map->present_count(), set);
    EXPECT_EQ(map->present_bytes(), 10 * set) << "a chunk that is set twice counts once";
    for (uint64_t chunk = 0; chunk < chunk_count; ++chunk) {
      EXPECT_EQ(map->IsSet(chunk), chunk % 3 == 0);
    }
    EXPECT_EQ(map->Snapshot(), *ReadFile(RealFileSystem(), path_, 1 << 20));
    EXPECT_EQ(CountPresent(map->Snapshot()), set);
  }
}

TEST_F(PresenceMapTest, TakesBitsBack) {
  Write(PresenceMap::Empty(100));
  const auto map = Open(100);
  for (uint64_t chunk = 60; chunk < 70; ++chunk) {
    EXPECT_TRUE(map->Set(chunk, chunk));
    EXPECT_FALSE(map->Set(chunk, chunk));
  }
  Bytes snapshot = map->Snapshot();
  EXPECT_TRUE(map->Clear(64, 64));
  EXPECT_FALSE(map->Clear(64, 64));
  EXPECT_FALSE(map->Clear(0, 1));
  EXPECT_FALSE(map->IsSet(64));
  EXPECT_TRUE(map->IsSet(63));
  EXPECT_EQ(map->present_count(), 9U);
  EXPECT_EQ(map->present_bytes(), 645U - 64);
  PresenceMap::ClearIn(snapshot, 0, 60, [](uint64_t chunk) { return chunk; });
  EXPECT_EQ(CountPresent(snapshot), 10U) << "none of those was there";
  PresenceMap::ClearIn(snapshot, 64, 65, [](uint64_t chunk) { return chunk; });
  EXPECT_EQ(snapshot, map->Snapshot());
}

TEST_F(PresenceMapTest, JoinsAndSubtracts) {
  Write(PresenceMap::Empty(100));
  const auto map = Open(100);
  map->Set(3, 1);
  map->Set(99, 1);
  Bytes joined = map->Snapshot();
  map->Clear(3, 1);
  map->Set(64, 1);
  PresenceMap::Join(joined, map->Snapshot());
  EXPECT_EQ(CountPresent(joined), 3U);
  map->Clear(99, 1);
  PresenceMap::Subtract(joined, map->Snapshot());
  EXPECT_EQ(CountPresent(joined), 2U);
  EXPECT_TRUE(PresenceMap::Has(joined, 3));
  EXPECT_FALSE(PresenceMap::Has(joined, 64));
  EXPECT_TRUE(PresenceMap::Has(joined, 99));
}

TEST_F(PresenceMapTest, HoldsNoChunks) {
  Write(PresenceMap::Empty(0));
  EXPECT_EQ(Open(0)->present_count(), 0);
}

TEST_F(PresenceMapTest, RefusesOtherFiles) {
  const struct {
    std::string_view name;
    std::function<void(Bytes&)> damage;
  } cases[] = {
      {"empty", [](Bytes& bytes) { bytes.clear(); }},
      {"short", [](Bytes& bytes) { bytes.pop_back(); }},
      {"long", [](Bytes& bytes) { bytes.push_back(std::byte{0}); }},
      {"magic", [](Bytes& bytes) { bytes[7] ^= std::byte{1}; }},
      {"another count", [](Bytes& bytes) { bytes[8] = std::byte{99}; }},
      {"bits beyond the last chunk", [](Bytes& bytes) { bytes.back() = std::byte{0x80}; }},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Bytes bytes = PresenceMap::Empty(100);
    c.damage(bytes);
    EXPECT_EQ(PresenceMap::Check(bytes, 100).code(), StatusCode::kDataLoss);
    Write(bytes);
    EXPECT_EQ(PresenceMap::Open(RealFileSystem(), path_, 100).status().code(),
              StatusCode::kDataLoss);
  }
}

TEST_F(PresenceMapTest, LosesNoBitOfManyThreads) {
  constexpr uint64_t kChunks = 4096;
  Write(PresenceMap::Empty(kChunks));
  const auto map = Open(kChunks);
  std::vector<std::thread> threads;
  for (uint64_t first = 0; first < 4; ++first) {
    threads.emplace_back([&, first] {
      // Neighbouring threads share words, and each chunk is set by two of them.
      for (uint64_t chunk = first / 2; chunk < kChunks; chunk += 2) {
        map->Set(chunk, 1);
        EXPECT_TRUE(map->IsSet(chunk));
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(map->present_count(), kChunks);
  EXPECT_EQ(map->present_bytes(), kChunks);
}

TEST(PresenceMapFull, HasExactlyTheChunksOfTheLayer) {
  for (const uint64_t count : {0, 1, 63, 64, 65, 128, 1000}) {
    SCOPED_TRACE(count);
    const Bytes map = PresenceMap::Full(count, 12345);
    EXPECT_TRUE(PresenceMap::Check(map, count).ok());
    EXPECT_EQ(CountPresent(map), count);
  }
}

}  // namespace
}  // namespace starling::store
