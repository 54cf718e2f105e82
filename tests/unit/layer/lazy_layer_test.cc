#include "layer/lazy_layer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <future>
#include <latch>
#include <set>
#include <thread>

#include "base/temp_dir.h"
#include "erofs/image_writer.h"
#include "layer/gap_log.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/gzip.h"
#include "tests/support/gzip_text.h"
#include "tests/support/manual_executor.h"
#include "tests/support/memory_blob.h"
#include "tests/support/name_source.h"

namespace starling::layer {
namespace {

using oci::FetchClass;
using testing_support::MemoryBlob;
using testing_support::Noise;

constexpr uint64_t kChunk = 4096;
constexpr ptrdiff_t kThreads = 2;
/// One member a request, unless a test says otherwise.
constexpr FetchLimits kNoNeighbours{
    .neighbourhood_bytes = 0, .merge_gap_bytes = 0, .request_bytes = 1 << 20};
constexpr FetchLimits kWideNeighbourhood{
    .neighbourhood_bytes = 1 << 20, .merge_gap_bytes = 0, .request_bytes = 1 << 20};

/// Five chunks of 4 KiB: 0 to 2 in members of their own, 3 and 4 together in the last member,
/// behind some bytes of a tar header.
class LazyLayerTest : public testing::Test {
 protected:
  void SetUp() override {
    ChunkTableSpec spec;
    std::string blob = "header";
    for (uint32_t i = 0; i < 5; ++i) {
      contents_ += Noise(kChunk, i);
    }
    const auto content = [this](uint32_t i) { return contents_.substr(i * kChunk, kChunk); };
    for (uint32_t i = 0; i < 4; ++i) {
      const std::string member = testing_support::Gzip(
          i < 3 ? content(i) : std::string(512, 'h') + content(3) + content(4));
      spec.members.push_back({.blob_offset = blob.size(), .blob_size = member.size()});
      blob += member;
    }
    for (uint32_t i = 0; i < 5; ++i) {
      spec.chunks.push_back({.data_address = i * kChunk,
                             .size_bytes = kChunk,
                             .inner_offset = i < 3 ? 0 : 512 + (i - 3) * kChunk,
                             .member = std::min(i, 3U),
                             .digest = oci::Digest::Of(AsBytes(content(i))).value()});
    }
    spec.data_size_bytes = contents_.size();
    spec.blob_size_bytes = blob.size();
    members_ = spec.members;
    blob_ = std::make_shared<MemoryBlob>(ToBytes(blob));
    auto directory = TempDir::Make("/tmp", "lazy-layer-");
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_.emplace(*std::move(directory));
    auto layers = store::LayerStore::Open(directory_->path() / "store", files_);
    ASSERT_TRUE(layers.ok()) << layers.status();
    layers_ = *std::move(layers);
    const erofs::InodeSpec root{.mode = S_IFDIR | 0755, .nlink = 2};
    const auto image = erofs::WriteImage(std::span(&root, 1), spec.data_size_bytes);
    ASSERT_TRUE(image.ok()) << image.status();
    const store::LayerInfo info{.blob_size_bytes = spec.blob_size_bytes,
                                .data_size_bytes = spec.data_size_bytes,
                                .chunk_count = spec.chunks.size()};
    const auto table = WriteChunkTable(spec);
    ASSERT_TRUE(table.ok()) << table.status();
    const auto stored = layers_->Create(
        {.layer = oci::Digest::Of(AsBytes(blob)), .toc = oci::Digest::Of(AsBytes("toc"))}, info,
        *image, *table);
    ASSERT_TRUE(stored.ok()) << stored.status();
    stored_ = *stored;
    Open(kNoNeighbours);
  }
  void TearDown() override {
    if (scheduler_) {
      scheduler_->Close();
    }
    if (layer_) {
      layer_->Close();
    }
  }

  void Open(const FetchLimits& limits) {
    auto layer = LazyLayer::Open(stored_, cpu_, counters_, limits);
    ASSERT_TRUE(layer.ok()) << layer.status();
    layer_ = *std::move(layer);
    layer_->UseReader(blob_);
  }
  /// The same with a scheduler, whose link moves the whole blob in one request.
  void OpenScheduled() {
    scheduler_ = FetchScheduler::Make({.quiet = std::chrono::milliseconds(0)},
                                      {.clock = clock_, .executor = cpu_, .timer = timer_});
    auto layer = LazyLayer::Open(stored_, cpu_, counters_, kNoNeighbours, scheduler_);
    ASSERT_TRUE(layer.ok()) << layer.status();
    layer_ = *std::move(layer);
    testing_support::NameSource(*layer_, "image", "host", [this] { return blob_; });
  }
  void OpenWithoutSources() {
    auto layer = LazyLayer::Open(stored_, cpu_, counters_, kNoNeighbours);
    ASSERT_TRUE(layer.ok()) << layer.status();
    layer_ = *std::move(layer);
  }
  std::shared_ptr<MemoryBlob> AddMemorySource(const std::string& name) {
    const auto blob = std::make_shared<MemoryBlob>(blob_->Tail(blob_->SizeBytes()));
    testing_support::NameSource(*layer_, name, name, [blob] { return blob; });
    return blob;
  }
  /// The image has another place from now on, which is asked first.
  std::shared_ptr<MemoryBlob> PutMirrorInFront() {
    const auto mirror = std::make_shared<MemoryBlob>(blob_->Tail(blob_->SizeBytes()));
    layer_->SetSources("image", "host",
                       {{.name = "mirror", .open = [mirror] { return mirror; }},
                        {.name = "image", .open = [this] { return blob_; }}});
    return mirror;
  }
  /// Begins a read whose request gets no answer, and lets it be late.
  std::future<StatusOr<Bytes>> StartLateRead(DataRange range) {
    blob_->Hold();
    const size_t before = blob_->requests();
    auto read = StartRead(range);
    AwaitRequests(*blob_, before + 1);
    timer_.Advance(std::chrono::seconds(1));
    return read;
  }
  static void AwaitRequests(const MemoryBlob& blob, size_t requests) {
    while (blob.requests() < requests) {
      std::this_thread::yield();
    }
  }
  /// Waits for what was posted to the executor before: once all of its threads meet, none of them
  /// is still at it.
  void Settle() {
    const auto met = std::make_shared<std::latch>(kThreads + 1);
    for (ptrdiff_t i = 0; i < kThreads; ++i) {
      cpu_.Post([met] { met->arrive_and_wait(); });
    }
    met->arrive_and_wait();
  }
  std::future<void> Complete() {
    auto promise = std::make_shared<std::promise<void>>();
    auto future = promise->get_future();
    layer_->WhenComplete([promise] { promise->set_value(); });
    layer_->FetchAll();
    return future;
  }
  std::future<StatusOr<Bytes>> StartRead(DataRange range) {
    auto promise = std::make_shared<std::promise<StatusOr<Bytes>>>();
    auto future = promise->get_future();
    layer_->Read(range, FetchClass::kDemand,
                 [promise](StatusOr<Bytes> bytes) { promise->set_value(std::move(bytes)); });
    return future;
  }
  StatusOr<Bytes> Read(DataRange range) { return StartRead(range).get(); }
  Status MakePresent(DataRange range) {
    std::promise<Status> promise;
    layer_->MakePresent(range, FetchClass::kDemand,
                        [&promise](const Status& status) { promise.set_value(status); });
    return promise.get_future().get();
  }
  static DataRange ChunkRange(uint64_t chunk) { return {chunk * kChunk, kChunk}; }
  void ExpectContent(const StatusOr<Bytes>& bytes, DataRange range) const {
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(AsText(*bytes),
              std::string_view(contents_).substr(range.data_address, range.size_bytes));
  }
  oci::BlobRange MemberRange(uint32_t member) const {
    return {members_[member].blob_offset, members_[member].blob_size};
  }

  std::string contents_;
  std::vector<MemberRecord> members_;
  testing_support::FaultyFileSystem files_;
  std::optional<TempDir> directory_;
  std::unique_ptr<store::LayerStore> layers_;
  std::shared_ptr<store::StoredLayer> stored_;
  std::shared_ptr<MemoryBlob> blob_;
  FetchCounters counters_;
  testing_support::ManualClock clock_;
  testing_support::ManualTimer timer_{clock_};
  ThreadPool cpu_{"cpu", kThreads};
  std::shared_ptr<FetchScheduler> scheduler_;
  std::shared_ptr<LazyLayer> layer_;
};

TEST_F(LazyLayerTest, FetchesAbsentBytesOnce) {
  EXPECT_FALSE(layer_->IsPresent(ChunkRange(1)));
  ExpectContent(Read({kChunk + 10, 100}), {kChunk + 10, 100});
  EXPECT_EQ(blob_->ranges(), std::vector{MemberRange(1)});
  EXPECT_TRUE(layer_->IsPresent(ChunkRange(1)));
  ExpectContent(Read(ChunkRange(1)), ChunkRange(1));
  EXPECT_EQ(blob_->requests(), 1U) << "a held chunk costs no request";
  EXPECT_EQ(counters_.requests, 1U);
  EXPECT_EQ(counters_.bytes, MemberRange(1).size_bytes);
  Bytes direct(kChunk);
  EXPECT_TRUE(layer_->ReadPresent(kChunk, direct).value());
  EXPECT_EQ(AsText(direct), contents_.substr(kChunk, kChunk));
}

TEST_F(LazyLayerTest, ReadsOverMembersAndInnerOffsets) {
  const DataRange all{0, contents_.size()};
  ExpectContent(Read(all), all);
  EXPECT_EQ(blob_->requests(), 1U) << "neighbouring members come with one request";
}

TEST_F(LazyLayerTest, ChunksOfOneMemberCostOneFetch) {
  ExpectContent(Read(ChunkRange(4)), ChunkRange(4));
  EXPECT_TRUE(layer_->IsPresent(ChunkRange(3)));
  EXPECT_EQ(blob_->ranges(), std::vector{MemberRange(3)});
}

TEST_F(LazyLayerTest, WhatCameWithTheTailIsNotFetched) {
  // All of the last two members, and a part of the one before.
  layer_->TakeTail(blob_->Tail(blob_->SizeBytes() - members_[1].blob_offset - 1));
  const DataRange last_three{2 * kChunk, 3 * kChunk};
  ExpectContent(Read(last_three), last_three);
  EXPECT_EQ(blob_->requests(), 0U);
  ExpectContent(Read(ChunkRange(1)), ChunkRange(1));
  EXPECT_EQ(blob_->ranges(), std::vector{MemberRange(1)});
}

TEST_F(LazyLayerTest, WrongBytesInTheTailAreFetched) {
  Bytes tail = blob_->Tail(members_[3].blob_size);
  tail[tail.size() / 2] ^= std::byte{1};
  layer_->TakeTail(std::move(tail));
  ExpectContent(Read(ChunkRange(3)), ChunkRange(3));
  EXPECT_EQ(blob_->ranges(), std::vector{MemberRange(3)});
}

TEST_F(LazyLayerTest, ALongerTailThanTheBlobIsRefused) {
  layer_->TakeTail(Bytes(blob_->SizeBytes() + 1));
  ExpectContent(Read(ChunkRange(3)), ChunkRange(3));
  EXPECT_EQ(blob_->requests(), 1U);
}

TEST_F(LazyLayerTest, WhatIsReadIsDecodedBeforeWhatCameEarlier) {
  testing_support::ManualExecutor cpu;
  auto opened = LazyLayer::Open(stored_, cpu, counters_, kNoNeighbours);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const std::shared_ptr<LazyLayer> layer = *opened;
  layer->TakeTail(blob_->Tail(blob_->SizeBytes()));
  uint64_t held_then = 0;
  layer->Read(ChunkRange(4), FetchClass::kDemand, [&](const StatusOr<Bytes>& bytes) {
    ExpectContent(bytes, ChunkRange(4));
    held_then = layer->present_bytes();
  });
  cpu.RunAll();
  EXPECT_EQ(held_then, 2 * kChunk) << "of its own member alone";
  EXPECT_EQ(layer->present_bytes(), 5 * kChunk);
  layer->Close();
}

TEST_F(LazyLayerTest, IdenticalAndOverlappingReadsShareFetches) {
  blob_->Hold();
  auto first = StartRead({0, 2 * kChunk});
  auto same = StartRead({0, 2 * kChunk});
  auto overlapping = StartRead({kChunk, 2 * kChunk});
  ASSERT_EQ(blob_->requests(), 2U);
  EXPECT_EQ(blob_->ranges()[0].blob_offset, MemberRange(0).blob_offset);
  EXPECT_EQ(blob_->ranges()[1], MemberRange(2));
  blob_->Release();
  ExpectContent(first.get(), {0, 2 * kChunk});
  ExpectContent(same.get(), {0, 2 * kChunk});
  ExpectContent(overlapping.get(), {kChunk, 2 * kChunk});
  EXPECT_EQ(blob_->requests(), 2U);
}

TEST_F(LazyLayerTest, KeepsEveryMemberOfAFetchedRange) {
  Open(kWideNeighbourhood);
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  for (uint64_t chunk = 1; chunk < 5; ++chunk) {
    ExpectContent(Read(ChunkRange(chunk)), ChunkRange(chunk));
  }
  EXPECT_EQ(blob_->requests(), 1U);
}

TEST_F(LazyLayerTest, AFailedFetchIsNotRemembered) {
  blob_->FailNext(MakeError(StatusCode::kUnavailable, "away"));
  EXPECT_EQ(Read(ChunkRange(0)).status().code(), StatusCode::kUnavailable);
  EXPECT_FALSE(layer_->IsPresent(ChunkRange(0)));
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  EXPECT_EQ(blob_->requests(), 2U);
}

TEST_F(LazyLayerTest, SpoiledBytesAreAskedForOnceMore) {
  blob_->DamageNext();
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  EXPECT_EQ(blob_->requests(), 2U);
}

TEST_F(LazyLayerTest, WrongBytesFailOnlyThoseWhoNeedThem) {
  Open(kWideNeighbourhood);
  blob_->Spoil(members_[1].blob_offset + members_[1].blob_size / 2);
  blob_->Hold();
  auto broken = StartRead({0, 2 * kChunk});
  auto fine = StartRead(ChunkRange(2));
  EXPECT_EQ(blob_->requests(), 1U);
  blob_->Release();
  EXPECT_EQ(broken.get().status().code(), StatusCode::kDataLoss);
  ExpectContent(fine.get(), ChunkRange(2));
  EXPECT_EQ(blob_->requests(), 2U) << "the broken member, alone, once more";
  EXPECT_EQ(blob_->ranges()[1], MemberRange(1));
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  EXPECT_FALSE(layer_->IsPresent(ChunkRange(1)));
}

TEST_F(LazyLayerTest, ATruncatedBlobServesWhatItHas) {
  Open(kWideNeighbourhood);
  blob_->TruncateAt(members_[2].blob_offset);
  blob_->Hold();
  auto held = StartRead(ChunkRange(1));
  auto lost = StartRead(ChunkRange(3));
  blob_->Release();
  ExpectContent(held.get(), ChunkRange(1));
  EXPECT_EQ(lost.get().status().code(), StatusCode::kOutOfRange);
  EXPECT_EQ(Read(ChunkRange(2)).status().code(), StatusCode::kOutOfRange);
}

TEST_F(LazyLayerTest, AFullDiskGivesDataFromMemory) {
  files_.set_free_bytes(0);
  ExpectContent(Read({10, 100}), {10, 100});
  ExpectContent(Read({200, 2 * kChunk}), {200, 2 * kChunk});
  ExpectContent(Read(ChunkRange(1)), ChunkRange(1));
  EXPECT_EQ(blob_->requests(), 2U) << "chunk 0, then 1 and 2 together";
  EXPECT_FALSE(layer_->IsPresent(ChunkRange(0)));
  EXPECT_EQ(MakePresent(ChunkRange(0)).code(), StatusCode::kResourceExhausted);
  files_.set_free_bytes(UINT64_MAX);
  EXPECT_TRUE(MakePresent(ChunkRange(0)).ok());
  EXPECT_TRUE(layer_->IsPresent(ChunkRange(0)));
}

TEST_F(LazyLayerTest, WhatTheDiskTakesAgainLeavesTheMemory) {
  OpenScheduled();
  const auto spilled = scheduler_->spilled_chunks();
  files_.set_free_bytes(0);
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  Settle();
  EXPECT_GE(spilled->size_bytes(), kChunk);
  files_.set_free_bytes(UINT64_MAX);
  ASSERT_TRUE(MakePresent({0, contents_.size()}).ok());
  Settle();
  EXPECT_EQ(spilled->size_bytes(), 0U);
  ASSERT_TRUE(layer_->Evict(LazyLayer::Evictable::kAll, UINT64_MAX).ok());
  files_.set_free_bytes(0);
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  EXPECT_GE(spilled->size_bytes(), kChunk);
  layer_->Close();
  EXPECT_EQ(spilled->size_bytes(), 0U) << "nor does a layer outlive itself there";
}

TEST_F(LazyLayerTest, OpensItsSourceAtTheFirstMissAndTriesTheNext) {
  OpenWithoutSources();
  EXPECT_EQ(Read(ChunkRange(0)).status().code(), StatusCode::kUnavailable);
  std::atomic<int> opened = 0;
  const auto forbidden = std::make_shared<MemoryBlob>(Bytes(blob_->SizeBytes()));
  forbidden->FailNext(MakeError(StatusCode::kPermissionDenied, "403"));
  testing_support::NameSource(*layer_, "broken", "host",
                              [&]() -> StatusOr<std::shared_ptr<oci::BlobReader>> {
                                ++opened;
                                return MakeError(StatusCode::kNotFound, "gone");
                              });
  testing_support::NameSource(*layer_, "forbidden", "host",
                              [&]() -> StatusOr<std::shared_ptr<oci::BlobReader>> {
                                ++opened;
                                return forbidden;
                              });
  testing_support::NameSource(*layer_, "good", "host",
                              [&]() -> StatusOr<std::shared_ptr<oci::BlobReader>> {
                                ++opened;
                                return blob_;
                              });
  EXPECT_EQ(opened, 0);
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  EXPECT_EQ(opened, 3) << "all within the first read";
  EXPECT_EQ(forbidden->requests(), 1U);
  EXPECT_LE(forbidden->last_options().max_retries, 1) << "while there is another";
  EXPECT_GT(blob_->last_options().max_retries, 1) << "the last one is waited for";
  ExpectContent(Read(ChunkRange(2)), ChunkRange(2));
  EXPECT_EQ(opened, 3) << "one that works is kept";
  EXPECT_EQ(forbidden->requests(), 1U);
}

TEST_F(LazyLayerTest, AFetchTriesEachSourceOnce) {
  OpenWithoutSources();
  const auto first = AddMemorySource("first");
  const auto second = AddMemorySource("second");
  first->FailNext(MakeError(StatusCode::kUnavailable, "away"));
  second->FailNext(MakeError(StatusCode::kNotFound, "gone"));
  EXPECT_EQ(Read(ChunkRange(0)).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(first->requests(), 1U);
  EXPECT_EQ(second->requests(), 1U);
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  EXPECT_EQ(first->requests(), 2U) << "its failure is the longer ago";
}

TEST_F(LazyLayerTest, OnlyTheRestOfABrokenFetchComesFromTheNextSource) {
  OpenWithoutSources();
  const auto first = AddMemorySource("first");
  const auto second = AddMemorySource("second");
  first->BreakNext(members_[0].blob_size + members_[1].blob_size / 2,
                   MakeError(StatusCode::kUnavailable, "reset"));
  ExpectContent(Read({0, 2 * kChunk}), {0, 2 * kChunk});
  EXPECT_EQ(second->ranges(), std::vector{MemberRange(1)});
  EXPECT_EQ(first->requests(), 1U);
}

TEST_F(LazyLayerTest, ADeadlineThatIsOverIsNotBegunAnew) {
  OpenWithoutSources();
  const auto first = AddMemorySource("first");
  const auto second = AddMemorySource("second");
  first->FailNext(MakeError(StatusCode::kDeadlineExceeded, "slow"));
  EXPECT_EQ(Read(ChunkRange(0)).status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(second->requests(), 0U);
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  EXPECT_EQ(second->requests(), 1U) << "the next read goes elsewhere";
}

TEST_F(LazyLayerTest, ReturnsToTheFirstSourceAfterAWhile) {
  OpenScheduled();
  const auto second = AddMemorySource("second");
  files_.set_free_bytes(0);  // so that each read fetches again
  const auto fetch = [this] {
    EXPECT_EQ(MakePresent(ChunkRange(0)).code(), StatusCode::kResourceExhausted);
  };
  // What is read ahead of it may be on its way, too.
  const auto asked = [this](const MemoryBlob& blob) {
    return std::ranges::count(blob.ranges(), MemberRange(0).blob_offset,
                              &oci::BlobRange::blob_offset);
  };
  blob_->FailNext(MakeError(StatusCode::kUnavailable, "away"));
  fetch();
  fetch();
  EXPECT_EQ(asked(*blob_), 1);
  EXPECT_EQ(asked(*second), 2);
  clock_.Advance(BlobSources::kRest);
  fetch();
  EXPECT_EQ(asked(*blob_), 2);
  EXPECT_EQ(asked(*second), 2);
}

TEST_F(LazyLayerTest, SpoiledBytesAreAskedForElsewhere) {
  OpenWithoutSources();
  const auto first = AddMemorySource("first");
  const auto second = AddMemorySource("second");
  first->DamageNext();
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  EXPECT_EQ(first->requests(), 1U);
  EXPECT_EQ(second->ranges(), std::vector{MemberRange(0)});
}

TEST_F(LazyLayerTest, BytesThatTwoSourcesSpoilAreAnError) {
  OpenWithoutSources();
  const std::vector sources = {AddMemorySource("first"), AddMemorySource("second"),
                               AddMemorySource("third")};
  sources[0]->DamageNext();
  sources[1]->DamageNext();
  EXPECT_EQ(Read(ChunkRange(0)).status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(sources[0]->requests(), 1U);
  EXPECT_EQ(sources[1]->requests(), 1U);
  EXPECT_EQ(sources[2]->requests(), 0U);
}

TEST_F(LazyLayerTest, SpoiledBytesAreAskedForAgainWhenNobodyElseHasThem) {
  OpenWithoutSources();
  const auto first = AddMemorySource("first");
  const auto second = AddMemorySource("second");
  first->DamageNext();
  second->FailNext(MakeError(StatusCode::kNotFound, "gone"));
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  EXPECT_EQ(first->requests(), 2U);
  EXPECT_EQ(second->requests(), 1U);
}

TEST_F(LazyLayerTest, BytesThatStayWrongAreNotFetchedForEveryRead) {
  OpenScheduled();
  std::vector<WrongBytes> reports;
  layer_->ReportWrongBytes([&reports](const WrongBytes& wrong) { reports.push_back(wrong); });
  blob_->Spoil(members_[1].blob_offset + members_[1].blob_size / 2);
  EXPECT_EQ(Read(ChunkRange(1)).status().code(), StatusCode::kDataLoss);
  Settle();
  const size_t first = blob_->requests();
  EXPECT_LE(first, 3U) << "twice, and what is read ahead";
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Read(ChunkRange(1)).status().code(), StatusCode::kDataLoss);
  }
  EXPECT_EQ(blob_->requests(), first);
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].source, "image");
  EXPECT_EQ(reports[0].host, "host");
  EXPECT_EQ(reports[0].layer, stored_->key().layer);
  EXPECT_EQ(reports[0].range, MemberRange(1));
  EXPECT_NE(Describe(reports[0].error), "");
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  const size_t before = blob_->requests();
  blob_->Spoil(members_[1].blob_offset + members_[1].blob_size / 2);  // right again
  EXPECT_EQ(Read(ChunkRange(1)).status().code(), StatusCode::kDataLoss);
  clock_.Advance(LazyLayer::kQuarantine);
  ExpectContent(Read(ChunkRange(1)), ChunkRange(1));
  EXPECT_EQ(blob_->requests(), before + 1);
}

TEST_F(LazyLayerTest, ASourceOfWrongBytesIsTheLastChoiceForAWhile) {
  OpenScheduled();
  const auto second = AddMemorySource("second");
  files_.set_free_bytes(0);  // so that each read fetches again
  const auto fetch = [this] {
    EXPECT_EQ(MakePresent(ChunkRange(0)).code(), StatusCode::kResourceExhausted);
  };
  const uint64_t wrong_at = members_[0].blob_offset + members_[0].blob_size / 2;
  blob_->Spoil(wrong_at);
  fetch();
  EXPECT_EQ(blob_->requests(), 1U);
  EXPECT_EQ(second->requests(), 1U);
  clock_.Advance(BlobSources::kRest);
  fetch();
  EXPECT_EQ(blob_->requests(), 1U);
  EXPECT_EQ(second->requests(), 2U);
  blob_->Spoil(wrong_at);  // right again
  second->FailNext(MakeError(StatusCode::kUnavailable, "away"));
  fetch();
  EXPECT_EQ(blob_->requests(), 2U) << "better than nothing: its bytes are checked";
}

TEST_F(LazyLayerTest, AnAnswerThatIsNoneIsNotAskedForByEveryRead) {
  OpenScheduled();
  blob_->TruncateAt(members_[3].blob_offset);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Read(ChunkRange(4)).status().code(), StatusCode::kOutOfRange);
  }
  EXPECT_LE(blob_->requests(), 2U);
  const size_t before = blob_->requests();
  clock_.Advance(std::chrono::seconds(30));
  EXPECT_FALSE(Read(ChunkRange(4)).ok());
  EXPECT_GT(blob_->requests(), before) << "it may have passed";
}

TEST_F(LazyLayerTest, WhoJoinsAnOldFetchHasItsOwnTime) {
  OpenScheduled();
  blob_->FailNext(MakeError(StatusCode::kDeadlineExceeded, "away"));
  blob_->Hold();
  auto early = StartRead(ChunkRange(0));
  AwaitRequests(*blob_, 1);
  clock_.Advance(std::chrono::seconds(290));
  auto late = StartRead(ChunkRange(0));
  EXPECT_EQ(blob_->requests(), 1U);
  blob_->Release();
  EXPECT_EQ(early.get().status().code(), StatusCode::kDeadlineExceeded);
  ExpectContent(late.get(), ChunkRange(0));
  EXPECT_EQ(blob_->requests(), 2U);
}

TEST_F(LazyLayerTest, ALateReadIsSentAgainElsewhere) {
  OpenScheduled();
  const auto second = AddMemorySource("second");
  ExpectContent(StartLateRead(ChunkRange(0)).get(), ChunkRange(0));
  EXPECT_EQ(second->ranges(), blob_->ranges());
  EXPECT_EQ(second->last_options().max_retries, 0);
  EXPECT_FALSE(second->last_options().own_connection);
  EXPECT_TRUE(blob_->last_options().stop.stop_requested());
  EXPECT_FALSE(second->last_options().stop.stop_requested());
  blob_->Release();  // its bytes come too late
  ExpectContent(Read({0, contents_.size()}), {0, contents_.size()});
  EXPECT_EQ(counters_.requests, 2U);
}

TEST_F(LazyLayerTest, ALateReadIsSentAgainToTheOnlySource) {
  OpenScheduled();
  auto read = StartLateRead(ChunkRange(0));
  AwaitRequests(*blob_, 2);
  EXPECT_TRUE(blob_->last_options().own_connection);
  EXPECT_EQ(counters_.second_requests, 1U);
  timer_.Advance(std::chrono::seconds(10));
  Settle();
  EXPECT_EQ(blob_->requests(), 2U) << "once";
  blob_->Release();
  ExpectContent(read.get(), ChunkRange(0));
  EXPECT_EQ(blob_->requests(), 2U);
}

TEST_F(LazyLayerTest, NotEveryLateReadIsSentAgain) {
  OpenScheduled();
  files_.set_free_bytes(0);  // so that each read fetches again
  const auto present = [this] {
    const auto promise = std::make_shared<std::promise<Status>>();
    layer_->MakePresent(ChunkRange(0), FetchClass::kDemand,
                        [promise](const Status& status) { promise->set_value(status); });
    return promise->get_future();
  };
  size_t hedged = 0;
  size_t before = 0;
  for (int i = 0; i < 40; ++i) {
    blob_->Hold();
    auto late = present();
    AwaitRequests(*blob_, before + 1);
    timer_.Advance(std::chrono::seconds(1));
    Settle();
    Settle();
    blob_->Release();
    EXPECT_EQ(late.get().code(), StatusCode::kResourceExhausted);
    Settle();  // its neighbours fail, too; until then they are no part of the next request
    const size_t after = blob_->requests();
    hedged += after - before - 1;
    before = after;
  }
  EXPECT_GE(hedged, 1U);
  EXPECT_LE(hedged, 3U) << "the first, and one of twenty";
}

TEST_F(LazyLayerTest, AReadIsNotSentAgainToAHostThatAskedForAPause) {
  OpenScheduled();
  blob_->SetPaused(true);
  auto read = StartLateRead(ChunkRange(0));
  Settle();
  EXPECT_EQ(blob_->requests(), 1U);
  blob_->Release();
  ExpectContent(read.get(), ChunkRange(0));
  EXPECT_EQ(blob_->requests(), 1U);
}

TEST_F(LazyLayerTest, APlaceThatIsNamedLaterAnswersAReadThatWaits) {
  OpenScheduled();
  blob_->SetPaused(true);
  auto read = StartLateRead(ChunkRange(0));
  Settle();
  EXPECT_EQ(blob_->requests(), 1U);
  const auto mirror = std::make_shared<MemoryBlob>(blob_->Tail(blob_->SizeBytes()));
  layer_->SetSources("image", "host",
                     {{.name = "image", .open = [this] { return blob_; }},
                      {.name = "mirror", .open = [mirror] { return mirror; }}});
  timer_.Advance(Downloads::kHedgeAgain);
  ExpectContent(read.get(), ChunkRange(0));
  EXPECT_EQ(mirror->requests(), 1U);
  blob_->Release();
}

TEST_F(LazyLayerTest, WhatNobodyWaitedForGoesToAPlaceThatIsNamedLater) {
  OpenScheduled();
  blob_->Hold();
  layer_->Prefetch(blob_->SizeBytes());
  AwaitRequests(*blob_, 1);
  blob_->SetPaused(true);
  auto read = StartRead(ChunkRange(0));  // joins it
  timer_.Advance(Downloads::kHedgeAgain);
  Settle();
  EXPECT_EQ(blob_->requests(), 1U);
  const auto mirror = PutMirrorInFront();
  timer_.Advance(Downloads::kHedgeAgain);
  ExpectContent(read.get(), ChunkRange(0));
  EXPECT_EQ(mirror->requests(), 1U);
  blob_->Release();
}

TEST_F(LazyLayerTest, APlaceThatIsNamedLaterIsAskedAfterTwoRequestsThatWait) {
  OpenScheduled();
  auto read = StartLateRead(ChunkRange(0));
  AwaitRequests(*blob_, 2);  // the host was not known to be away
  blob_->SetPaused(true);
  const auto mirror = PutMirrorInFront();
  timer_.Advance(Downloads::kHedgeAgain);
  ExpectContent(read.get(), ChunkRange(0));
  EXPECT_EQ(mirror->requests(), 1U);
  EXPECT_EQ(blob_->requests(), 2U);
  blob_->Release();
}

TEST_F(LazyLayerTest, WhatComesInTimeIsSentOnce) {
  OpenScheduled();
  const auto second = AddMemorySource("second");
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  timer_.Advance(std::chrono::seconds(1));
  Settle();
  EXPECT_EQ(blob_->requests(), 1U);
  EXPECT_EQ(second->requests(), 0U);
}

TEST_F(LazyLayerTest, TheFirstOfTwoMayFailWithoutAByte) {
  OpenScheduled();
  const auto second = AddMemorySource("second");
  second->Hold();
  auto read = StartLateRead(ChunkRange(0));
  AwaitRequests(*second, 1);
  blob_->FailNext(MakeError(StatusCode::kUnavailable, "away"));
  blob_->Release();
  EXPECT_EQ(read.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  second->Release();
  ExpectContent(read.get(), ChunkRange(0));
  EXPECT_EQ(blob_->requests() + second->requests(), 2U);
}

TEST_F(LazyLayerTest, TheSecondOfTwoMayFailWithoutAByte) {
  OpenScheduled();
  const auto second = AddMemorySource("second");
  second->FailNext(MakeError(StatusCode::kUnavailable, "away"));
  auto read = StartLateRead(ChunkRange(0));
  AwaitRequests(*second, 1);
  EXPECT_EQ(read.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  blob_->Release();
  ExpectContent(read.get(), ChunkRange(0));
  EXPECT_EQ(blob_->requests() + second->requests(), 2U);
}

TEST_F(LazyLayerTest, WhoWonAndBreaksOffIsFollowedByTheOther) {
  OpenScheduled();
  const auto second = AddMemorySource("second");
  second->BreakNext(members_[0].blob_size, MakeError(StatusCode::kUnavailable, "reset"));
  auto read = StartLateRead({0, 2 * kChunk});
  AwaitRequests(*blob_, 2);
  EXPECT_EQ(blob_->ranges()[1].blob_offset, members_[1].blob_offset) << "the rest";
  blob_->Release();
  ExpectContent(read.get(), {0, 2 * kChunk});
  EXPECT_EQ(second->requests(), 1U);
}

TEST_F(LazyLayerTest, CloseAnswersWhoWaits) {
  blob_->Hold();
  auto waiting = StartRead(ChunkRange(0));
  layer_->Close();
  EXPECT_EQ(waiting.get().status().code(), StatusCode::kCancelled);
  EXPECT_EQ(Read(ChunkRange(1)).status().code(), StatusCode::kCancelled);
  blob_->Release();  // a late answer finds nobody
  EXPECT_EQ(blob_->requests(), 1U);
}

TEST_F(LazyLayerTest, AMemberIsReadableBeforeItsRequestEnds) {
  Open(kWideNeighbourhood);
  blob_->HoldStreamsAfter(members_[0].blob_size + members_[1].blob_size + 1);
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  ASSERT_EQ(blob_->ranges()[0].end(), members_[3].end()) << "its neighbours, too";
  ExpectContent(Read(ChunkRange(1)), ChunkRange(1));
  auto last = StartRead(ChunkRange(4));
  EXPECT_FALSE(layer_->IsPresent(ChunkRange(4)));
  blob_->Release();
  ExpectContent(last.get(), ChunkRange(4));
  EXPECT_EQ(blob_->requests(), 1U);
}

TEST_F(LazyLayerTest, NobodyWaitsForWhatIsBeforeAMiss) {
  Open(kWideNeighbourhood);
  blob_->HoldStreamsAfter(members_[3].blob_size);
  ExpectContent(Read(ChunkRange(4)), ChunkRange(4));
  ASSERT_EQ(blob_->requests(), 2U);
  EXPECT_EQ(blob_->ranges()[0], (oci::BlobRange{members_[3].blob_offset, members_[3].blob_size}));
  EXPECT_EQ(blob_->ranges()[1].blob_offset, members_[0].blob_offset);
  EXPECT_EQ(blob_->ranges()[1].end(), members_[3].blob_offset);
  auto before = StartRead(ChunkRange(0));
  blob_->Release();
  ExpectContent(before.get(), ChunkRange(0));
  EXPECT_EQ(blob_->requests(), 2U);
}

TEST_F(LazyLayerTest, CompletesInTheBackground) {
  OpenScheduled();
  Complete().get();
  EXPECT_TRUE(layer_->IsPresent({0, contents_.size()}));
  EXPECT_EQ(blob_->requests(), 1U);
  EXPECT_EQ(counters_.bytes, members_.back().end() - members_.front().blob_offset);
  Complete().get();
  EXPECT_EQ(blob_->requests(), 1U) << "what is complete costs nothing";
}

TEST_F(LazyLayerTest, TellsWhenReadsHaveMadeItComplete) {
  std::promise<void> complete;
  layer_->WhenComplete([&complete] { complete.set_value(); });
  auto future = complete.get_future();
  ExpectContent(Read({0, 3 * kChunk}), {0, 3 * kChunk});
  EXPECT_EQ(future.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  ExpectContent(Read(ChunkRange(4)), ChunkRange(4));
  future.get();
}

TEST_F(LazyLayerTest, IsCompleteOnlyOnceAllGapsAreKept) {
  std::promise<void> may_write;
  std::atomic<bool> is_first{true};
  files_.set_hook([&, gate = may_write.get_future().share()](const auto& call) {
    if (call.operation == testing_support::FaultyFileSystem::Operation::kWrite &&
        call.path.filename() == GapLog::kFileName && is_first.exchange(false)) {
      gate.wait();
    }
    return OkStatus();
  });
  const auto path = stored_->directory() / GapLog::kFileName;
  layer_->KeepGaps(std::make_shared<GapLog>(path, files_));
  auto read = StartRead({0, contents_.size()});
  while (!stored_->complete()) {
    std::this_thread::yield();
  }
  std::atomic<size_t> kept{0};
  std::promise<void> complete;
  layer_->WhenComplete([&] {
    const auto gaps = Gaps::Open(files_, path, members_.size());
    EXPECT_TRUE(gaps.ok()) << gaps.status();
    for (uint32_t member = 0; gaps.ok() && member < members_.size(); ++member) {
      kept += gaps->Has(member) ? 1 : 0;
    }
    complete.set_value();
  });
  // One thread waits for the disk. All that was posted to the other has run when this has.
  std::promise<void> reached;
  cpu_.Post([&reached] { reached.set_value(); });
  reached.get_future().get();
  may_write.set_value();
  complete.get_future().get();
  EXPECT_EQ(kept, members_.size());
  ExpectContent(read.get(), {0, contents_.size()});
}

TEST_F(LazyLayerTest, AFullDiskEndsBackgroundWork) {
  OpenScheduled();
  files_.set_free_bytes(0);
  layer_->FetchAll();
  while (blob_->requests() == 0) {
    std::this_thread::yield();
  }
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  Settle();
  const size_t requests = blob_->requests();
  timer_.Advance(std::chrono::minutes(10));
  Settle();
  EXPECT_EQ(blob_->requests(), requests) << "nor is it tried again later";
}

TEST_F(LazyLayerTest, PrefetchesWhatBeginsBeforeItsEnd) {
  OpenScheduled();
  blob_->Hold();
  layer_->Prefetch(members_[1].blob_offset + 1);
  while (blob_->requests() == 0) {
    std::this_thread::yield();
  }
  auto joined = StartRead(ChunkRange(1));
  EXPECT_EQ(blob_->requests(), 1U) << "a read joins what is on its way";
  blob_->Release();
  ExpectContent(joined.get(), ChunkRange(1));
  EXPECT_EQ(blob_->ranges()[0].blob_offset, members_[0].blob_offset);
  EXPECT_FALSE(layer_->IsPresent(ChunkRange(2)));
}

TEST_F(LazyLayerTest, BackgroundWorkGoesOnAfterAnOutage) {
  OpenScheduled();
  blob_->FailNext(MakeError(StatusCode::kUnavailable, "away"));
  auto complete = Complete();
  while (blob_->requests() == 0) {
    std::this_thread::yield();
  }
  Settle();
  EXPECT_EQ(blob_->requests(), 1U) << "not again at once";
  while (complete.wait_for(std::chrono::seconds(0)) == std::future_status::timeout) {
    timer_.Advance(std::chrono::seconds(1));
    std::this_thread::yield();
  }
  EXPECT_EQ(blob_->requests(), 2U);
}

TEST_F(LazyLayerTest, BackgroundWorkThatWasStoppedIsNotTriedAgainAfterAnOutage) {
  OpenScheduled();
  blob_->FailNext(MakeError(StatusCode::kUnavailable, "away"));
  layer_->FetchAll();
  while (blob_->requests() == 0) {
    std::this_thread::yield();
  }
  Settle();
  layer_->StopFetchingAhead();
  timer_.Advance(std::chrono::minutes(10));
  Settle();
  EXPECT_EQ(blob_->requests(), 1U);
  layer_->FetchAll();
  while (!layer_->IsPresent({0, contents_.size()})) {
    std::this_thread::yield();
  }
}

TEST_F(LazyLayerTest, BackgroundWorkGoesOnAfterAnAnswerWithoutTheRange) {
  OpenScheduled();
  blob_->FailNext(MakeError(StatusCode::kFailedPrecondition, "all of it"));
  auto complete = Complete();
  while (blob_->requests() == 0) {
    std::this_thread::yield();
  }
  Settle();
  EXPECT_EQ(blob_->requests(), 1U) << "not again at once";
  timer_.Advance(std::chrono::seconds(30));
  complete.get();
  EXPECT_EQ(blob_->requests(), 2U);
}

TEST_F(LazyLayerTest, BackgroundWorkGoesOnWithWhatWasInQuarantine) {
  OpenScheduled();
  const uint64_t inside = members_[1].blob_offset + members_[1].blob_size / 2;
  blob_->Spoil(inside);
  EXPECT_EQ(Read(ChunkRange(1)).status().code(), StatusCode::kDataLoss);
  blob_->Spoil(inside);  // and back
  auto complete = Complete();
  while (!layer_->IsPresent(ChunkRange(0)) || !layer_->IsPresent(ChunkRange(2))) {
    std::this_thread::yield();
  }
  Settle();
  EXPECT_FALSE(layer_->IsPresent(ChunkRange(1)));
  timer_.Advance(LazyLayer::kQuarantine);
  complete.get();
}

TEST_F(LazyLayerTest, NothingIsFetchedForOthersOnceItWasStopped) {
  OpenScheduled();
  const std::vector<DataRange> ranges = {ChunkRange(1)};
  layer_->StopFetchingAhead();
  EXPECT_FALSE(layer_->StartAbsent(ranges, FetchClass::kPrefetch, kChunk));
  layer_->ResumeFetchingAhead();
  EXPECT_TRUE(layer_->StartAbsent(ranges, FetchClass::kPrefetch, kChunk));
  while (!layer_->IsPresent(ranges[0])) {
    std::this_thread::yield();
  }
}

TEST_F(LazyLayerTest, TellsOnceAPlaceIsOpen) {
  OpenScheduled();
  std::promise<void> open;
  layer_->WhenOpen([&] { open.set_value(); });
  open.get_future().get();
  bool is_open = false;
  layer_->WhenOpen([&] { is_open = true; });
  EXPECT_TRUE(is_open) << "within the call";
  EXPECT_EQ(blob_->requests(), 0U);
}

TEST_F(LazyLayerTest, TellsItsObserverWhatReadersAskFor) {
  struct Noting : ReadObserver {
    void OnRead(uint32_t first_chunk, uint32_t last_chunk) noexcept override {
      reads.emplace_back(first_chunk, last_chunk);
    }
    std::vector<std::pair<uint32_t, uint32_t>> reads;
  };
  Open(kWideNeighbourhood);
  const auto observer = std::make_shared<Noting>();
  layer_->Observe(observer);
  ASSERT_TRUE(MakePresent(ChunkRange(0)).ok());
  EXPECT_TRUE(observer->reads.empty()) << "nobody read";
  ExpectContent(Read({kChunk - 1, 2}), {kChunk - 1, 2});
  ASSERT_TRUE(MakePresent(ChunkRange(4)).ok());
  Bytes held(1);
  EXPECT_TRUE(layer_->ReadPresent(4 * kChunk, held).value());
  const std::vector<std::pair<uint32_t, uint32_t>> want = {{0, 2}, {4, 5}};
  EXPECT_EQ(observer->reads, want);
}

TEST_F(LazyLayerTest, WhatComesAfterCloseIsDroppedAndNotCounted) {
  auto counters = std::make_unique<FetchCounters>();
  auto layer = *LazyLayer::Open(stored_, cpu_, *counters, kNoNeighbours);
  layer->UseReader(blob_);
  std::promise<Status> answered;
  blob_->Hold();
  layer->Read(ChunkRange(0), FetchClass::kDemand,
              [&](const StatusOr<Bytes>& bytes) { answered.set_value(bytes.status()); });
  layer->Close();
  EXPECT_EQ(counters->requests, 1U);
  counters.reset();
  blob_->Release();
  EXPECT_EQ(answered.get_future().get().code(), StatusCode::kCancelled);
  EXPECT_FALSE(layer->IsPresent(ChunkRange(0)));
}

TEST_F(LazyLayerTest, CountsWhatReadersGotAndWhatItTook) {
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  ASSERT_TRUE(MakePresent(ChunkRange(1)).ok());
  Bytes held(100);
  EXPECT_TRUE(layer_->ReadPresent(10, held).value());
  blob_->FailNext(MakeError(StatusCode::kNotFound, "gone"));
  EXPECT_FALSE(Read(ChunkRange(2)).ok());
  Settle();
  EXPECT_EQ(counters_.served_bytes, kChunk + 100);
  EXPECT_EQ(counters_.held_reads.snapshot().count(), 1U);
  EXPECT_EQ(counters_.waited_reads.snapshot().count(), 2U) << "nobody reads by MakePresent";
  EXPECT_EQ(counters_.failed_reads, 1U);
  EXPECT_EQ(counters_.waiting_reads, 0U);
  EXPECT_EQ(layer_->Use().stalls.reads, 2U);
  EXPECT_EQ(layer_->Use().stalls.failed, 1U);
  const FetchCounters::OfPurpose& demand = counters_.Of(Purpose::kDemand);
  EXPECT_EQ(demand.requests, blob_->requests());
  EXPECT_EQ(demand.bytes, counters_.bytes);
  EXPECT_EQ(demand.durations.snapshot().count(), demand.requests);
  EXPECT_GE(counters_.decodes.snapshot().count(), 2U);
}

TEST_F(LazyLayerTest, CountsReadsThatWaitAndHowLong) {
  OpenScheduled();
  blob_->Hold();
  auto read = StartRead(ChunkRange(0));
  AwaitRequests(*blob_, 1);
  EXPECT_EQ(counters_.waiting_reads, 1U);
  clock_.Advance(std::chrono::milliseconds(250));
  blob_->Release();
  ASSERT_TRUE(read.get().ok());
  Settle();
  EXPECT_EQ(counters_.waiting_reads, 0U);
  EXPECT_EQ(counters_.waited_reads.snapshot().sum, std::chrono::milliseconds(250));
}

TEST_F(LazyLayerTest, TellsWhatItsReadersWaitedFor) {
  OpenScheduled();
  const auto slow_reads = std::make_shared<SlowReads>();
  const auto fetches = std::make_shared<RecentFetches>();
  layer_->Trace(slow_reads, fetches);
  blob_->Hold();
  auto read = StartRead(ChunkRange(1));
  AwaitRequests(*blob_, 1);
  clock_.Advance(std::chrono::milliseconds(250));
  blob_->Release();
  ASSERT_TRUE(read.get().ok());
  ExpectContent(Read(ChunkRange(1)), ChunkRange(1));  // held, so that it took no time
  Settle();
  const LayerUse::Stalls stalls = layer_->Use().stalls;
  EXPECT_EQ(stalls.reads, 2U);
  EXPECT_EQ(stalls.failed, 0U);
  EXPECT_EQ(stalls.times, (ReadTimes{.network = std::chrono::milliseconds(250)}));
  ASSERT_EQ(stalls.worst.size(), 2U);
  EXPECT_EQ(stalls.worst[0].range, ChunkRange(1));
  EXPECT_EQ(stalls.worst[0].layer, layer_->key());
  EXPECT_EQ(stalls.worst[0].times.cause(), ReadCause::kNetwork);
  EXPECT_EQ(slow_reads->List().reads, std::vector{stalls.worst[0]}) << "the other was not slow";
  std::vector<TracedFetch> traced = fetches->List().kept;
  uint64_t traced_bytes = 0;
  for (const TracedFetch& fetch : traced) {
    EXPECT_EQ(fetch.layer, layer_->key());
    traced_bytes += fetch.bytes;
  }
  EXPECT_EQ(traced_bytes, counters_.bytes);
  std::erase_if(traced, [](const TracedFetch& fetch) { return fetch.purpose != Purpose::kDemand; });
  ASSERT_EQ(traced.size(), 1U);
  EXPECT_LE(traced[0].range.data_address, ChunkRange(1).data_address);
  EXPECT_GE(traced[0].range.end(), ChunkRange(1).end());
  EXPECT_EQ(traced[0].ended - traced[0].sent, std::chrono::milliseconds(250));
  EXPECT_FALSE(traced[0].failed);
}

TEST_F(LazyLayerTest, TellsInWhichContainerItsReadersAre) {
  ThreadPool finding("who", 1);
  const auto waits = std::make_shared<ContainerWaits>(
      finding, [](pid_t thread) { return thread == 5 ? "c5" : ""; });
  OpenScheduled();
  const auto slow_reads = std::make_shared<SlowReads>();
  layer_->Trace(slow_reads, nullptr);
  layer_->CountWaits(waits);
  const auto start_read = [&](uint64_t chunk, pid_t reader) {
    auto promise = std::make_shared<std::promise<void>>();
    layer_->Read(
        ChunkRange(chunk), FetchClass::kDemand,
        [promise](const StatusOr<Bytes>& /*bytes*/) { promise->set_value(); }, reader);
    return promise->get_future();
  };
  blob_->Hold();
  auto of_container = start_read(1, 5);
  auto of_none = start_read(1, 6);
  auto of_unknown = start_read(1, 0);
  AwaitRequests(*blob_, 1);
  std::promise<void> asked;
  finding.Post([&asked] { asked.set_value(); });
  asked.get_future().get();
  clock_.Advance(SlowReads::kSlow);
  blob_->Release();
  of_container.get();
  of_none.get();
  of_unknown.get();
  Settle();
  std::multiset<std::string> containers;
  for (const SlowRead& read : slow_reads->List().reads) {
    containers.insert(read.container);
  }
  EXPECT_EQ(containers, (std::multiset<std::string>{"", "", "c5"}));
  waits->Close();
}

TEST_F(LazyLayerTest, TellsWhatItsBytesCameForAndWhoReadThem) {
  OpenScheduled();
  ExpectContent(Read({3 * kChunk, 10}), {3 * kChunk, 10});  // its member has chunk 4, too
  Complete().get();
  Settle();
  Bytes held(10);
  EXPECT_TRUE(layer_->ReadPresent(0, held).value());
  const LayerUse use = layer_->Use();
  EXPECT_EQ(use.total_bytes, 5 * kChunk);
  EXPECT_EQ(use.held_bytes, 5 * kChunk);
  EXPECT_EQ(use.needed_bytes, 2 * kChunk);
  EXPECT_EQ(use.wasted_bytes, 3 * kChunk);
  uint64_t came = 0;
  for (const LayerUse::Came& part : use.came) {
    came += part.bytes;
  }
  EXPECT_EQ(came, 5 * kChunk);
  EXPECT_EQ(use.fetched_bytes(), counters_.bytes);
  for (const Purpose purpose : kPurposes) {
    EXPECT_EQ(use.fetched[static_cast<size_t>(purpose)].bytes, counters_.Of(purpose).bytes);
    EXPECT_EQ(use.fetched[static_cast<size_t>(purpose)].requests, counters_.Of(purpose).requests);
  }
}

TEST_F(LazyLayerTest, CountsBytesByWhatTheyCameFor) {
  OpenScheduled();
  Complete().get();
  Settle();
  EXPECT_EQ(counters_.Of(Purpose::kDemand).bytes, 0U);
  EXPECT_EQ(counters_.Of(Purpose::kBackground).bytes, counters_.bytes);
  EXPECT_GT(counters_.bytes, 4 * kChunk);
}

TEST_F(LazyLayerTest, CountsWhatCameWrong) {
  OpenWithoutSources();
  const auto first = AddMemorySource("first");
  AddMemorySource("second");
  first->DamageNext();
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  Settle();
  EXPECT_EQ(counters_.wrong_members, 1U);
  EXPECT_EQ(counters_.moved_fetches, 0U);
}

TEST_F(LazyLayerTest, CountsAFetchThatGoesOnElsewhere) {
  OpenWithoutSources();
  const auto first = AddMemorySource("first");
  AddMemorySource("second");
  first->FailNext(MakeError(StatusCode::kUnavailable, "away"));
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  Settle();
  EXPECT_EQ(counters_.moved_fetches, 1U);
  EXPECT_EQ(counters_.requests, 2U);
}

TEST_F(LazyLayerTest, CountsWhatIsEvicted) {
  ExpectContent(Read(ChunkRange(0)), ChunkRange(0));
  EXPECT_EQ(layer_->Evict(LazyLayer::Evictable::kAll, kChunk).value(), kChunk);
  EXPECT_EQ(counters_.evicted_bytes, kChunk);
}

TEST_F(LazyLayerTest, RefusesReadsPastTheEnd) {
  EXPECT_EQ(Read({contents_.size(), 1}).status().code(), StatusCode::kOutOfRange);
  EXPECT_EQ(Read({UINT64_MAX, 1}).status().code(), StatusCode::kOutOfRange);
  ExpectContent(Read({0, 0}), {0, 0});
  EXPECT_EQ(blob_->requests(), 0U);
}

}  // namespace
}  // namespace starling::layer
