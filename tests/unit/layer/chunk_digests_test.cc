#include "layer/chunk_digests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace starling::layer {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

/// A table whose chunks have these contents, each in a member of its own.
Bytes TableOf(std::initializer_list<std::string> contents) {
  ChunkTableSpec spec;
  for (const std::string& content : contents) {
    const auto number = static_cast<uint32_t>(spec.chunks.size());
    spec.chunks.push_back({.data_address = number * 4096ULL,
                           .size_bytes = content.size(),
                           .member = number,
                           .digest = oci::Digest::Of(AsBytes(content)).value()});
    spec.members.push_back({.blob_offset = number * 100ULL, .blob_size = 100});
  }
  spec.data_size_bytes = contents.size() * 4096;
  spec.blob_size_bytes = contents.size() * 100;
  auto table = WriteChunkTable(std::move(spec));
  EXPECT_TRUE(table.ok()) << table.status();
  return table.ok() ? *std::move(table) : Bytes();
}

ChunkDigests DigestsOf(std::initializer_list<std::string> contents) {
  const Bytes table = TableOf(contents);
  return ChunkDigests::Of(*ChunkTable::Open(table));
}

std::vector<std::pair<uint32_t, uint32_t>> SharedOf(const ChunkDigests& wanted,
                                                    const ChunkDigests& held) {
  std::vector<std::pair<uint32_t, uint32_t>> shared;
  ForEachShared(wanted, held, [&](uint32_t a, uint32_t b) { shared.emplace_back(a, b); });
  std::ranges::sort(shared);
  return shared;
}

TEST(ChunkDigestsTest, FindsWhatTwoLayersHaveInCommon) {
  const ChunkDigests held = DigestsOf({"a", "b", "c", "b"});
  EXPECT_THAT(SharedOf(DigestsOf({"x", "c", "a"}), held), ElementsAre(Pair(1, 2), Pair(2, 0)));
  EXPECT_THAT(SharedOf(DigestsOf({"b", "b"}), held), ElementsAre(Pair(0, 1), Pair(1, 1)))
      << "every wanted chunk, and the first that is held";
  EXPECT_THAT(SharedOf(DigestsOf({"x", "y"}), held), IsEmpty());
  EXPECT_THAT(SharedOf(DigestsOf({}), held), IsEmpty());
  EXPECT_THAT(SharedOf(held, DigestsOf({})), IsEmpty());
}

TEST(ChunkDigestsTest, ReadsWhatItWrote) {
  const ChunkDigests digests = DigestsOf({"a", "b", "c"});
  const auto parsed = ChunkDigests::Parse(digests.Serialize());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(std::ranges::equal(parsed->entries(), digests.entries()));
  const auto empty = ChunkDigests::Parse(DigestsOf({}).Serialize());
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_THAT(empty->entries(), IsEmpty());
}

TEST(ChunkDigestsTest, RefusesWhatItCannotHaveWritten) {
  const Bytes good = DigestsOf({"a", "b", "c"}).Serialize();
  const auto with = [&](size_t at, char byte) {
    Bytes changed = good;
    changed[at] = static_cast<std::byte>(byte);
    return changed;
  };
  Bytes swapped = good;
  std::swap_ranges(swapped.begin() + 16, swapped.begin() + 36, swapped.begin() + 36);
  const Bytes longer = [&] {
    Bytes bytes = good;
    bytes.resize(good.size() + 20);
    return bytes;
  }();
  const struct {
    std::string_view name;
    Bytes bytes;
  } cases[] = {
      {"nothing", {}},
      {"half a header", Bytes(good.begin(), good.begin() + 8)},
      {"cut short", Bytes(good.begin(), good.end() - 1)},
      {"an entry less", Bytes(good.begin(), good.end() - 20)},
      {"an entry more", longer},
      {"other magic", with(0, 'X')},
      {"newer version", with(4, 2)},
      {"a huge count", with(15, '\x7f')},
      {"not in order", swapped},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(ChunkDigests::Parse(c.bytes).status().code(), StatusCode::kDataLoss) << c.name;
  }
}

}  // namespace
}  // namespace starling::layer
