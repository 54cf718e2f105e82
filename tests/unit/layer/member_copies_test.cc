#include "layer/member_copies.h"

#include <gtest/gtest.h>

#include <set>

#include "layer/member_store.h"
#include "tests/support/evictable_layers.h"

namespace starling::layer {
namespace {

/// Layers of one file of 16 chunks, each in a member of its own.
class MemberCopiesTest : public testing_support::EvictableLayersFixture {
 protected:
  static std::vector<uint32_t> Members(const Layer& layer, std::initializer_list<uint32_t> chunks) {
    std::vector<uint32_t> members;
    for (const uint32_t chunk : chunks) {
      members.push_back(layer.lazy->chunks().chunks()[chunk].member);
    }
    return members;
  }
  static bool IsFree(uint32_t) { return true; }
};

TEST_F(MemberCopiesTest, WithoutOtherLayersThereAreNone) {
  Layer& layer = Open(1);
  MemberCopies copies = MemberCopies::Find(*layer.stored, layer.lazy->chunks(), SharedChunks());
  EXPECT_EQ(copies.shared(), nullptr);
  EXPECT_FALSE(copies.Has(0));
  EXPECT_EQ(copies.Next(IsFree), std::nullopt);
  copies.Remove(0);
  EXPECT_FALSE(MemberCopies().Has(0));
}

/// Chunks of a layer whose node lost its power: doubtful ones.
TEST_F(MemberCopiesTest, AreTakenInOrderAndOnce) {
  SetBoot("1");
  ReadChunks(Open(1), 2, 6);
  CloseStore();
  SetBoot("2");
  Layer& layer = Open(1);
  const std::vector<uint32_t> members = Members(layer, {2, 3, 4, 5});
  MemberCopies copies = MemberCopies::Find(*layer.stored, layer.lazy->chunks(), SharedChunks());
  ASSERT_NE(copies.shared(), nullptr);
  for (const uint32_t member : members) {
    EXPECT_TRUE(copies.Has(member));
  }
  EXPECT_FALSE(copies.Has(Members(layer, {6})[0]));

  EXPECT_EQ(copies.Next(IsFree), members[0]);
  const auto all_but_one = [&](uint32_t member) { return member != members[1]; };
  EXPECT_EQ(copies.Next(all_but_one), members[2]) << "somebody has the one before it";
  EXPECT_EQ(copies.Next(IsFree), members[3]);
  EXPECT_EQ(copies.Next(IsFree), std::nullopt) << "each at most once";

  copies.Remove(members[0]);
  EXPECT_FALSE(copies.Has(members[0]));
  copies.Remove(members[0]);
  EXPECT_NE(copies.shared(), nullptr);
  for (const uint32_t member : members) {
    copies.Remove(member);
  }
  EXPECT_EQ(copies.shared(), nullptr) << "let go of with the last one";
}

TEST_F(MemberCopiesTest, WhatIsHeldIsNotCopied) {
  Layer& donor = Open(1);
  ReadChunks(donor, 0, kChunks);
  KeptDigests kept(*store_);
  ASSERT_TRUE(kept.Add(donor.stored->key(), ChunkDigests::Of(donor.lazy->chunks())).ok());
  // The same file in a layer of its own: another chunk more makes it another blob.
  testing_support::TarBuilder tar;
  tar.Add({.name = "file", .content = donor.content});
  tar.Add({.name = "more", .content = testing_support::Noise(kChunk, 2)});
  const auto made = *testing_support::MakeLazyLayer(tar.Finish(), kChunk);
  image_.Add(made);
  const auto opened = OpenLayer(image_, {.layer = made.digest, .toc = made.toc}, made.blob.size(),
                                *store_, counters_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const ChunkTable table = *ChunkTable::Open(opened->stored->chunk_table());
  const auto count = [&] {
    MemberCopies copies = MemberCopies::Find(
        *opened->stored, table, SharedChunks::Find(*opened->stored, table, *store_, kept));
    std::set<uint32_t> members;
    while (const auto member = copies.Next(IsFree)) {
      members.insert(*member);
    }
    return members.size();
  };
  EXPECT_EQ(count(), size_t{kChunks}) << "not the chunk that no other layer has";
  MemberStore store(opened->stored, table);
  MemberCopies copies = MemberCopies::Find(
      *opened->stored, table, SharedChunks::Find(*opened->stored, table, *store_, kept));
  const StatusOr<uint64_t> copied = store.Copy(*copies.Next(IsFree), *copies.shared());
  ASSERT_TRUE(copied.ok()) << copied.status();
  EXPECT_EQ(*copied, kChunk);
  EXPECT_EQ(count(), size_t{kChunks} - 1);
}

}  // namespace
}  // namespace starling::layer
