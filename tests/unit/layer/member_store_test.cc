#include "layer/member_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/evictable_layers.h"

namespace starling::layer {
namespace {

using testing::HasSubstr;
using testing_support::FaultyFileSystem;
using Operation = FaultyFileSystem::Operation;

/// A layer of one file of 16 chunks, each in a member of its own.
class MemberStoreTest : public testing_support::EvictableLayersFixture {
 protected:
  MemberStoreTest() : layer_(Open(1)), store_of_(layer_.stored, layer_.lazy->chunks()) {}

  const ChunkTable& table() const { return layer_.lazy->chunks(); }
  uint32_t MemberOf(uint32_t chunk) const { return table().chunks()[chunk].member; }
  Bytes Compressed(uint32_t chunk) const {
    const MemberRecord& member = table().members()[MemberOf(chunk)];
    const Bytes blob = layer_.blob->Tail(layer_.blob->SizeBytes());
    const auto begin = blob.begin() + static_cast<ptrdiff_t>(member.blob_offset);
    return {begin, begin + static_cast<ptrdiff_t>(member.blob_size)};
  }
  MemberOutcome Put(uint32_t chunk) { return store_of_.Put(MemberOf(chunk), Compressed(chunk)); }
  /// A read of half of `chunk` and half of the next one.
  StatusOr<bool> ReadOver(uint32_t chunk, std::span<const SpilledChunk> spilled, Bytes& out) {
    const DataRange range{.data_address = chunk * kChunk + kChunk / 2, .size_bytes = kChunk};
    out.assign(range.size_bytes, std::byte{0});
    return store_of_.Read(range, table().Find(range), spilled, out);
  }
  std::string ContentOver(uint32_t chunk) const {
    return layer_.content.substr(chunk * kChunk + kChunk / 2, kChunk);
  }

  Layer& layer_;
  MemberStore store_of_;
};

TEST_F(MemberStoreTest, TakesMembersAndGivesTheirBytes) {
  EXPECT_TRUE(store_of_.IsAbsent(MemberOf(4)));
  const MemberOutcome outcome = Put(4);
  EXPECT_TRUE(outcome.error.ok()) << outcome.error;
  EXPECT_TRUE(outcome.FirstDataLoss().ok());
  EXPECT_TRUE(outcome.spilled.empty());
  EXPECT_FALSE(store_of_.IsAbsent(MemberOf(4)));
  EXPECT_EQ(Held(layer_), "....x...........");
  Bytes out;
  EXPECT_FALSE(*ReadOver(4, {}, out)) << "the next chunk is not there";
  Put(5);
  EXPECT_TRUE(*ReadOver(4, {}, out));
  EXPECT_EQ(AsText(out), ContentOver(4));
}

TEST_F(MemberStoreTest, WrongBytesAreNamedByBothDigests) {
  Bytes wrong = Compressed(4);
  wrong[wrong.size() / 2] ^= std::byte{1};
  const Status error = store_of_.Put(MemberOf(4), wrong).FirstDataLoss();
  EXPECT_EQ(error.code(), StatusCode::kDataLoss);
  EXPECT_EQ(Held(layer_), "................");
  const Status of_another = store_of_.Put(MemberOf(4), Compressed(5)).FirstDataLoss();
  EXPECT_EQ(of_another.code(), StatusCode::kDataLoss);
  EXPECT_THAT(MessageOf(of_another), HasSubstr(oci::Digest(table().chunks()[4].digest).ToString()));
  const Status broken = store_of_.Put(MemberOf(4), Bytes(100)).FirstDataLoss();
  EXPECT_THAT(MessageOf(broken), HasSubstr(oci::Digest::Of(Bytes(100)).ToString()));
  EXPECT_THAT(MessageOf(broken), HasSubstr(oci::Digest(table().chunks()[4].digest).ToString()));
}

TEST_F(MemberStoreTest, WhatTheDiskDoesNotTakeIsSpilledVerified) {
  Put(5);
  Break(Operation::kWrite, EIO);
  const MemberOutcome outcome = Put(4);
  EXPECT_TRUE(outcome.error.ok());
  ASSERT_EQ(outcome.spilled.size(), 1U);
  EXPECT_EQ(AsText(*outcome.spilled[0].bytes), layer_.content.substr(4 * kChunk, kChunk));
  EXPECT_TRUE(store_of_.IsAbsent(MemberOf(4)));
  const ChunkSpan both{.first = 4, .last = 6};
  EXPECT_FALSE(store_of_.HasAll(both, {}));
  EXPECT_TRUE(store_of_.HasAll(both, outcome.spilled));
  Bytes out;
  EXPECT_TRUE(*ReadOver(4, outcome.spilled, out)) << "from memory and from the disk";
  EXPECT_EQ(AsText(out), ContentOver(4));
  EXPECT_EQ(store_of_.Put(MemberOf(6), Compressed(7)).FirstDataLoss().code(), StatusCode::kDataLoss)
      << "what is wrong is not spilled either";
}

TEST_F(MemberStoreTest, WhatTheDiskDoesNotGiveIsAbsentAndAtLastAvoided) {
  Bytes out;
  for (int tries = 0; tries < 2; ++tries) {
    files_.set_hook({});
    EXPECT_FALSE(store_of_.IsAvoided(4)) << tries;
    EXPECT_TRUE(Put(4).spilled.empty()) << tries;
    Put(5);
    Break(Operation::kRead, EIO);
    EXPECT_FALSE(*ReadOver(4, {}, out));
    EXPECT_TRUE(store_of_.IsAbsent(MemberOf(4)));
  }
  files_.set_hook({});
  EXPECT_TRUE(store_of_.IsAvoided(4));
  EXPECT_FALSE(store_of_.IsAvoided(6));
  EXPECT_EQ(Put(4).spilled.size(), 1U) << "kept off the disk";
  EXPECT_EQ(Held(layer_).substr(4, 1), ".");
}

TEST_F(MemberStoreTest, CopiesWhatOtherLayersHaveOrNothing) {
  EXPECT_EQ(store_of_.Copy(MemberOf(4), SharedChunks()).status().code(), StatusCode::kNotFound);
  Put(4);
  const StatusOr<uint64_t> copied = store_of_.Copy(MemberOf(4), SharedChunks());
  ASSERT_TRUE(copied.ok()) << copied.status();
  EXPECT_EQ(*copied, 0U) << "it is held";
}

}  // namespace
}  // namespace starling::layer
