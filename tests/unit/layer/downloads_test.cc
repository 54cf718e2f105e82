#include "layer/downloads.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/gzip_text.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/memory_blob.h"

namespace starling::layer {
namespace {

using oci::FetchClass;
using testing_support::MemoryBlob;
using testing_support::Noise;

constexpr uint32_t kMembers = 4;
constexpr uint64_t kMember = 1000;

/// Four members of 1000 bytes, one chunk in each.
Bytes Table() {
  ChunkTableSpec spec{.data_size_bytes = kMembers * kMember, .blob_size_bytes = kMembers * kMember};
  for (uint32_t i = 0; i < kMembers; ++i) {
    spec.members.push_back({.blob_offset = i * kMember, .blob_size = kMember});
    spec.chunks.push_back({.data_address = i * kMember, .size_bytes = kMember, .member = i});
  }
  return *WriteChunkTable(spec);
}

Fetch FetchOf(uint32_t first, uint32_t last, FetchClass fetch_class = FetchClass::kDemand) {
  return {
      .plan = {.range = {.blob_offset = first * kMember, .size_bytes = (last - first) * kMember},
               .first_member = first,
               .last_member = last},
      .fetch_class = fetch_class};
}

/// Notes what it is told. Owns what the downloads borrow.
class Wants : public Downloads::Client, public std::enable_shared_from_this<Wants> {
 public:
  Wants(Executor& cpu, std::shared_ptr<FetchScheduler> scheduler)
      : context_(cpu, counters_, std::move(scheduler)) {}

  void OnMember(Downloads::Arrival arrival) override {
    came_[arrival.member] = AsText(*arrival.compressed);
    arrivals_.push_back(std::move(arrival));
  }
  void OnMoves(const Fetch& fetch) override {
    ++moves_;
    downloads_.Start(fetch, shared_from_this());
  }
  void OnFailed(const Fetch& fetch, const Status& error) override {
    for (uint32_t member = fetch.plan.first_member; member < fetch.plan.last_member; ++member) {
      failed_[member] = error.code();
    }
  }
  void OnOpened(const std::set<FetchClass>& classes) override { opened_ = classes; }
  void OnNothingOpened() override { ++nothing_opened_; }
  void OnRequestEnded(const TracedFetch& fetch) override { traced_.push_back(fetch); }

  FetchCounters counters_;
  LayerContext context_;
  const Bytes table_bytes_ = Table();
  const ChunkTable table_ = *ChunkTable::Open(table_bytes_);
  BlobSources sources_;
  LayerTally tally_{kMembers};
  Downloads downloads_{table_, sources_, tally_, context_};

  std::map<uint32_t, std::string> came_;
  std::vector<Downloads::Arrival> arrivals_;
  std::map<uint32_t, StatusCode> failed_;
  int moves_ = 0;
  std::set<FetchClass> opened_;
  int nothing_opened_ = 0;
  std::vector<TracedFetch> traced_;
};

class DownloadsTest : public testing::Test {
 protected:
  ~DownloadsTest() override {
    wants_->arrivals_.clear();  // they own it
    wants_->downloads_.Close();
    scheduler_->Close();
  }
  /// Places of the blob in this order; a null one cannot be opened.
  void SetSources(const std::vector<std::shared_ptr<MemoryBlob>>& blobs) {
    std::vector<BlobSources::Named> named;
    for (const auto& blob : blobs) {
      named.push_back({.name = fmt::format("place-{}", named.size()),
                       .open = [this, blob]() -> StatusOr<std::shared_ptr<oci::BlobReader>> {
                         ++opens_;
                         if (!blob) {
                           return MakeError(StatusCode::kUnavailable, "away");
                         }
                         return blob;
                       }});
    }
    wants_->sources_.Set("image", "host", std::move(named));
  }
  void Start(Fetch fetch) { wants_->downloads_.Start(std::move(fetch), wants_); }
  bool IsOpen(FetchClass fetch_class) { return wants_->downloads_.IsOpen(fetch_class, wants_); }
  std::string MemberText(uint32_t member) const {
    return content_.substr(member * kMember, kMember);
  }
  std::shared_ptr<MemoryBlob> MakeBlob() const {
    return std::make_shared<MemoryBlob>(ToBytes(content_));
  }

  const std::string content_ = Noise(kMembers * kMember, 1);
  testing_support::ManualClock clock_;
  testing_support::ManualTimer timer_{clock_};
  testing_support::ManualExecutor cpu_;
  std::shared_ptr<FetchScheduler> scheduler_ =
      FetchScheduler::Make({}, {.clock = clock_, .executor = cpu_, .timer = timer_});
  std::shared_ptr<MemoryBlob> blob_ = MakeBlob();
  std::shared_ptr<Wants> wants_ = std::make_shared<Wants>(cpu_, scheduler_);
  int opens_ = 0;
};

TEST_F(DownloadsTest, CutsOneRequestIntoMembers) {
  SetSources({blob_});
  Start(FetchOf(1, 4));
  EXPECT_EQ(blob_->requests(), 0U) << "the place is opened first, on the executor";
  cpu_.RunAll();
  EXPECT_EQ(blob_->ranges(), std::vector{FetchOf(1, 4).plan.range});
  EXPECT_EQ(wants_->came_, (std::map<uint32_t, std::string>{
                               {1, MemberText(1)}, {2, MemberText(2)}, {3, MemberText(3)}}));
  EXPECT_TRUE(wants_->failed_.empty());
  ASSERT_EQ(wants_->traced_.size(), 1U);
  EXPECT_EQ(wants_->traced_[0].bytes, 3 * kMember);
  EXPECT_EQ(wants_->traced_[0].range, (DataRange{kMember, 3 * kMember}));
  EXPECT_EQ(wants_->counters_.requests, 1U);
  EXPECT_EQ(wants_->counters_.bytes, 3 * kMember);
}

TEST_F(DownloadsTest, APlaceIsOpenedOnce) {
  SetSources({blob_});
  Start(FetchOf(0, 1));
  Start(FetchOf(2, 3));
  cpu_.RunAll();
  Start(FetchOf(3, 4));
  cpu_.RunAll();
  EXPECT_EQ(opens_, 1);
  EXPECT_EQ(wants_->came_.size(), 3U);
}

TEST_F(DownloadsTest, WhatIsLeftGoesOnAtTheNextPlace) {
  const auto second = MakeBlob();
  SetSources({blob_, second});
  blob_->BreakNext(kMember + 10, MakeError(StatusCode::kUnavailable, "reset"));
  Start(FetchOf(0, 3));
  cpu_.RunAll();
  EXPECT_EQ(wants_->moves_, 1);
  EXPECT_EQ(second->ranges(), std::vector{FetchOf(1, 3).plan.range})
      << "from the first member that is not whole";
  EXPECT_EQ(wants_->came_.size(), 3U);
  EXPECT_EQ(wants_->came_[1], MemberText(1));
  EXPECT_EQ(wants_->counters_.moved_fetches, 1U);
}

TEST_F(DownloadsTest, FailsWhereNoPlaceIsLeft) {
  const auto second = MakeBlob();
  SetSources({blob_, second});
  blob_->FailNext(MakeError(StatusCode::kUnavailable, "away"));
  second->FailNext(MakeError(StatusCode::kPermissionDenied, "no"));
  Start(FetchOf(0, 2));
  cpu_.RunAll();
  EXPECT_EQ(wants_->failed_, (std::map<uint32_t, StatusCode>{{0, StatusCode::kPermissionDenied},
                                                             {1, StatusCode::kPermissionDenied}}));
  EXPECT_TRUE(wants_->came_.empty());
  EXPECT_EQ(blob_->requests() + second->requests(), 2U) << "once at each";
}

TEST_F(DownloadsTest, FailsWhereNoPlaceCanBeOpened) {
  SetSources({nullptr});
  Start(FetchOf(0, 1));
  cpu_.RunAll();
  EXPECT_EQ(wants_->failed_, (std::map<uint32_t, StatusCode>{{0, StatusCode::kUnavailable}}));
}

TEST_F(DownloadsTest, ARangeThatEndsEarlyIsDataLoss) {
  SetSources({blob_});
  blob_->BreakNext(kMember / 2, OkStatus());
  Start(FetchOf(0, 1));
  cpu_.RunAll();
  EXPECT_EQ(wants_->failed_, (std::map<uint32_t, StatusCode>{{0, StatusCode::kDataLoss}}));
}

TEST_F(DownloadsTest, TellsWhoAskedWhenAPlaceIsOpen) {
  SetSources({blob_});
  EXPECT_FALSE(IsOpen(FetchClass::kPrefetch));
  EXPECT_FALSE(IsOpen(FetchClass::kBackground));
  cpu_.RunAll();
  EXPECT_EQ(wants_->opened_,
            (std::set<FetchClass>{FetchClass::kPrefetch, FetchClass::kBackground}));
  EXPECT_TRUE(IsOpen(FetchClass::kPrefetch));
  EXPECT_EQ(opens_, 1);
}

TEST_F(DownloadsTest, TellsWhoAskedWhenNoneCanBe) {
  SetSources({nullptr});
  EXPECT_FALSE(IsOpen(FetchClass::kPrefetch));
  cpu_.RunAll();
  EXPECT_EQ(wants_->nothing_opened_, 1);
  EXPECT_TRUE(wants_->opened_.empty());
}

TEST_F(DownloadsTest, TheFirstThatBringsBytesCounts) {
  const auto second = MakeBlob();
  SetSources({blob_, second});
  blob_->Hold();
  Start(FetchOf(0, 2));
  cpu_.RunAll();
  timer_.Advance(std::chrono::seconds(1));
  cpu_.RunAll();
  EXPECT_EQ(second->requests(), 1U) << "it is late";
  EXPECT_EQ(wants_->came_.size(), 2U);
  EXPECT_TRUE(blob_->last_options().stop.stop_requested()) << "the other is ended";
  const size_t before = wants_->arrivals_.size();
  blob_->Release();
  cpu_.RunAll();
  EXPECT_EQ(wants_->arrivals_.size(), before);
  EXPECT_TRUE(wants_->failed_.empty());
  EXPECT_EQ(wants_->counters_.second_requests, 1U);
}

TEST_F(DownloadsTest, WhatIsLateIsSentAgainOnceTheHostHasCreditForIt) {
  SetSources({blob_});
  blob_->Hold();
  Start(FetchOf(0, 1));
  Start(FetchOf(1, 2));
  cpu_.RunAll();
  const auto requests_after = [&](std::chrono::milliseconds time) {
    timer_.Advance(time);
    cpu_.RunAll();
    return blob_->requests();
  };
  EXPECT_EQ(requests_after(std::chrono::seconds(1)), 3U) << "of two late ones, one";
  EXPECT_EQ(requests_after(Downloads::kHedgeAgain), 3U);
  for (int i = 0; i < 20; ++i) {
    (void)scheduler_->Begin("host", FetchClass::kDemand, 1, "image");
  }
  EXPECT_EQ(requests_after(Downloads::kHedgeAgain), 4U);
  EXPECT_EQ(requests_after(10 * Downloads::kHedgeAgain), 4U) << "each once";
  blob_->Release();
  cpu_.RunAll();
}

TEST_F(DownloadsTest, WhatCameTakesRoomUntilItIsLetGoOf) {
  SetSources({blob_});
  Start(FetchOf(0, 2));
  cpu_.RunAll();
  EXPECT_EQ(scheduler_->demand_budget().held_bytes(), 2 * kMember);
  EXPECT_EQ(scheduler_->InFlightOf(Purpose::kDemand).requests, 1U);
  wants_->arrivals_.pop_back();
  EXPECT_EQ(scheduler_->demand_budget().held_bytes(), 2 * kMember);
  wants_->arrivals_.clear();
  EXPECT_EQ(scheduler_->demand_budget().held_bytes(), 0U);
  EXPECT_EQ(scheduler_->InFlightOf(Purpose::kDemand).requests, 0U);
}

TEST_F(DownloadsTest, NothingBeginsOnceClosed) {
  SetSources({blob_});
  Start(FetchOf(0, 1));
  wants_->downloads_.Close();
  Start(FetchOf(1, 2));
  EXPECT_FALSE(IsOpen(FetchClass::kPrefetch));
  cpu_.RunAll();
  EXPECT_EQ(blob_->requests(), 0U);
  EXPECT_TRUE(wants_->came_.empty());
  EXPECT_TRUE(wants_->failed_.empty()) << "who closes it answers everybody";
}

TEST_F(DownloadsTest, WhatIsOnItsWayKeepsItsClient) {
  SetSources({blob_});
  blob_->Hold();
  Start(FetchOf(0, 1));
  cpu_.RunAll();
  const std::weak_ptr<Wants> weak = wants_;
  wants_ = std::make_shared<Wants>(cpu_, scheduler_);
  EXPECT_FALSE(weak.expired());
  blob_->Release();
  const auto first = weak.lock();
  ASSERT_NE(first, nullptr) << "it has what came";
  EXPECT_EQ(first->came_[0], MemberText(0));
  first->arrivals_.clear();
}

}  // namespace
}  // namespace starling::layer
