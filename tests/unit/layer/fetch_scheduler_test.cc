#include "layer/fetch_scheduler.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/manual_executor.h"

namespace starling::layer {
namespace {

using oci::FetchClass;
using std::chrono::milliseconds;

/// What the link that is assumed at first moves in its round trip.
constexpr uint64_t kRequest = 1'000'000;

/// Begins requests as it is told and keeps them on their way until the test ends them.
class FakeFeed : public FetchScheduler::Feed {
 public:
  FakeFeed(FetchScheduler& scheduler, std::string host, size_t requests, std::string image = {})
      : scheduler_(scheduler), host_(std::move(host)), image_(std::move(image)), left_(requests) {}
  bool StartNext(FetchClass fetch_class, uint64_t size_bytes) override {
    if (left_ == 0) {
      return false;
    }
    --left_;
    ++begun_;
    size_bytes_ = size_bytes;
    flights_.push_back(scheduler_.Begin(host_, fetch_class, size_bytes, image_));
    return true;
  }
  uint64_t LeftBytes() const override { return left_bytes; }
  void EndOne() { flights_.erase(flights_.begin()); }
  std::shared_ptr<FetchScheduler::Flight> flight(size_t number) const { return flights_[number]; }
  size_t begun() const { return begun_; }
  uint64_t size_bytes() const { return size_bytes_; }
  size_t on_the_way() const { return flights_.size(); }

  uint64_t left_bytes = 0;  // that readers may miss

 private:
  FetchScheduler& scheduler_;
  const std::string host_;
  const std::string image_;
  size_t left_;
  size_t begun_ = 0;
  uint64_t size_bytes_ = 0;
  std::vector<std::shared_ptr<FetchScheduler::Flight>> flights_;
};

class FetchSchedulerTest : public testing::Test {
 protected:
  FetchSchedulerTest() { Make({}); }
  void Make(const FetchScheduler::Options& options) {
    scheduler_ =
        FetchScheduler::Make(options, {.clock = clock_, .executor = executor_, .timer = timer_});
    // Long after anything urgent.
    timer_.Advance(std::chrono::hours(1));
  }
  std::shared_ptr<FakeFeed> Enlist(FetchClass fetch_class, size_t requests,
                                   const std::string& host = "a", const std::string& image = {}) {
    auto feed = std::make_shared<FakeFeed>(*scheduler_, host, requests, image);
    scheduler_->Enlist(host, fetch_class, feed, image);
    executor_.RunAll();
    return feed;
  }
  void Advance(milliseconds by) {
    timer_.Advance(by);
    executor_.RunAll();
  }
  void EndOne(FakeFeed& feed) {
    feed.EndOne();
    executor_.RunAll();
  }

  testing_support::ManualClock clock_;
  testing_support::ManualExecutor executor_;
  testing_support::ManualTimer timer_{clock_};
  std::shared_ptr<FetchScheduler> scheduler_;
};

TEST_F(FetchSchedulerTest, LetsTwoRoundTripsBeOnTheirWay) {
  for (const FetchClass fetch_class :
       {FetchClass::kReadahead, FetchClass::kPrefetch, FetchClass::kBackground}) {
    SCOPED_TRACE(static_cast<int>(fetch_class));
    Make({});
    const auto feed = Enlist(fetch_class, 5);
    EXPECT_EQ(feed->on_the_way(), 2u);
    EndOne(*feed);
    EXPECT_EQ(feed->on_the_way(), 2u) << "one ends, one begins";
    for (int i = 0; i < 3; ++i) {
      EndOne(*feed);
    }
    EXPECT_EQ(feed->begun(), 5u);
    EXPECT_EQ(feed->on_the_way(), 1u);
  }
}

TEST_F(FetchSchedulerTest, MoreUrgentClassesGoFirst) {
  const auto background = Enlist(FetchClass::kBackground, 10);
  ASSERT_EQ(background->on_the_way(), 2u);
  const auto prefetch = Enlist(FetchClass::kPrefetch, 10);
  EXPECT_EQ(prefetch->on_the_way(), 2u) << "does not wait for background work";
  const auto readahead = Enlist(FetchClass::kReadahead, 3);
  EXPECT_EQ(readahead->on_the_way(), 2u);
  EndOne(*prefetch);
  EndOne(*background);
  EXPECT_EQ(prefetch->begun(), 2u) << "read-ahead fills the link";
  EXPECT_EQ(background->begun(), 2u);
  EndOne(*readahead);
  EndOne(*readahead);
  EXPECT_EQ(readahead->begun(), 3u);
  EXPECT_EQ(prefetch->begun(), 2u) << "one of each on the way are two";
  EndOne(*readahead);
  EXPECT_EQ(prefetch->begun(), 3u);
  EXPECT_EQ(background->begun(), 2u);
}

TEST_F(FetchSchedulerTest, SaysWhatIsOnItsWayToAllHosts) {
  using InFlight = FetchScheduler::InFlight;
  auto first = scheduler_->Begin("a", FetchClass::kDemand, 100);
  const auto second = scheduler_->Begin("b", FetchClass::kDemand, 50);
  const auto other = scheduler_->Begin("b", FetchClass::kPrefetch, 7);
  first->OnBytes(60);
  EXPECT_EQ(scheduler_->InFlightOf(Purpose::kDemand), (InFlight{.requests = 2, .bytes = 150}));
  EXPECT_EQ(scheduler_->InFlightOf(Purpose::kPrefetch), (InFlight{.requests = 1, .bytes = 7}));
  first.reset();
  EXPECT_EQ(scheduler_->InFlightOf(Purpose::kDemand), (InFlight{.requests = 1, .bytes = 50}));
  EXPECT_EQ(scheduler_->InFlightOf(Purpose::kBackground), InFlight{});
}

TEST_F(FetchSchedulerTest, FeedsOfOneClassTakeTurns) {
  const auto first = Enlist(FetchClass::kPrefetch, 10);
  const auto second = Enlist(FetchClass::kPrefetch, 10);
  for (int i = 0; i < 3; ++i) {
    EndOne(*first);
    if (second->on_the_way() > 0) {
      EndOne(*second);
    }
  }
  EXPECT_GE(second->begun(), 2u);
  EXPECT_GE(first->begun(), 3u);
}

TEST_F(FetchSchedulerTest, BackgroundWaitsForQuiet) {
  auto demand = scheduler_->Begin("a", FetchClass::kDemand, 1);
  const auto feed = Enlist(FetchClass::kBackground, 1);
  Advance(std::chrono::seconds(10));
  EXPECT_EQ(feed->begun(), 0u) << "as long as a read waits for the network";
  demand.reset();
  executor_.RunAll();
  EXPECT_EQ(feed->begun(), 0u) << "and a while longer";
  Advance(milliseconds(499));
  EXPECT_EQ(feed->begun(), 0u);
  Advance(milliseconds(1));
  EXPECT_EQ(feed->begun(), 1u);
}

TEST_F(FetchSchedulerTest, BackgroundFollowsPrefetchAtOnce) {
  auto prefetch = scheduler_->Begin("a", FetchClass::kPrefetch, 1);
  const auto feed = Enlist(FetchClass::kBackground, 1);
  executor_.RunAll();
  EXPECT_EQ(feed->begun(), 0u) << "as long as it is on its way";
  prefetch.reset();
  executor_.RunAll();
  EXPECT_EQ(feed->begun(), 1u) << "nobody reads yet";
}

TEST_F(FetchSchedulerTest, TheLastOfBackgroundWorkIsDoneBesideReaders) {
  const auto demand = scheduler_->Begin("a", FetchClass::kDemand, kRequest / 2);
  const auto layer = Enlist(FetchClass::kBackground, 10);
  const auto other_layer = Enlist(FetchClass::kBackground, 10);
  const auto check = Enlist(FetchClass::kBackground, 10);
  layer->left_bytes = 30 * kRequest;
  other_layer->left_bytes = 3 * kRequest;
  const auto end_another_demand = [&] {
    scheduler_->Begin("a", FetchClass::kDemand, 1).reset();
    executor_.RunAll();
  };
  end_another_demand();
  EXPECT_EQ(layer->begun() + other_layer->begun(), 0u) << "33 round trips";
  other_layer->left_bytes = 2 * kRequest;
  end_another_demand();
  EXPECT_EQ(layer->begun(), 1u);
  EXPECT_EQ(other_layer->begun(), 1u);
  EXPECT_EQ(check->begun(), 0u) << "no reader misses what it fetches";
  scheduler_->NoteStart();
  EndOne(*layer);
  EXPECT_EQ(layer->begun(), 1u) << "a container that starts again needs the processor";
}

TEST_F(FetchSchedulerTest, BackgroundWorkHasItsTurnHoweverManyContainersStart) {
  const auto feed = Enlist(FetchClass::kBackground, 1000);
  const auto begun_within = [&](int starts) {
    const auto before = feed->begun();
    for (int start = 0; start < starts; ++start) {
      scheduler_->NoteStart();
      for (auto ending = feed->on_the_way(); ending > 0; --ending) {
        EndOne(*feed);
      }
      Advance(milliseconds(100));
    }
    return feed->begun() - before;
  };
  EXPECT_LE(begun_within(99), 4U) << "what was let in before the first";
  EXPECT_GT(begun_within(100), 50U) << "ten seconds for itself";
  EXPECT_LE(begun_within(98), 6U) << "then it waits again";
}

TEST_F(FetchSchedulerTest, BackgroundWaitsForAContainerToStart) {
  const auto feed = Enlist(FetchClass::kBackground, 10);
  const auto before = feed->begun();
  scheduler_->NoteStart();
  while (feed->on_the_way() > 0) {
    EndOne(*feed);
  }
  Advance(FetchScheduler::Options().start_quiet - milliseconds(1));
  EXPECT_EQ(feed->begun(), before) << "what had begun comes to its end";
  const auto prefetch = Enlist(FetchClass::kPrefetch, 1, "b");
  EXPECT_EQ(prefetch->begun(), 1u) << "what the container is likely to need does not wait";
  Advance(milliseconds(1));
  EXPECT_GT(feed->begun(), before);
}

TEST_F(FetchSchedulerTest, TheLastOfItWaitsForAStartUntilThatMisses) {
  const auto background = Enlist(FetchClass::kBackground, 10);
  background->left_bytes = kRequest;
  while (background->on_the_way() > 0) {
    scheduler_->NoteStart();
    EndOne(*background);
  }
  const auto before = background->begun();
  const auto demand = scheduler_->Begin("a", FetchClass::kDemand, 1);
  executor_.RunAll();
  demand->OnBytes(1);
  executor_.RunAll();
  EXPECT_EQ(background->begun(), before) << "a read that came with the start, not after it";
  clock_.Advance(milliseconds(10));
  scheduler_->Begin("a", FetchClass::kDemand, 1);
  executor_.RunAll();
  EXPECT_GT(background->begun(), before) << "what runs and misses is served";
}

TEST_F(FetchSchedulerTest, TheRestWaitsForWhatIsLikelierOfAllFeeds) {
  const auto background = Enlist(FetchClass::kBackground, 3);
  const auto rest = Enlist(FetchClass::kRest, 3);
  while (background->on_the_way() > 0) {
    EXPECT_EQ(rest->begun(), 0u);
    EndOne(*background);
  }
  EXPECT_EQ(background->begun(), 3u);
  Advance(milliseconds(499));
  EXPECT_EQ(rest->begun(), 0u) << "another layer may have more of it soon";
  const auto next_layer = Enlist(FetchClass::kBackground, 1);
  EXPECT_EQ(next_layer->begun(), 1u);
  EndOne(*next_layer);
  Advance(milliseconds(499));
  EXPECT_EQ(rest->begun(), 0u);
  Advance(milliseconds(1));
  EXPECT_EQ(rest->begun(), 2u);
  const auto late = Enlist(FetchClass::kBackground, 1);
  EXPECT_EQ(late->begun(), 1u) << "does not wait for the rest";
  EndOne(*rest);
  EXPECT_EQ(rest->begun(), 2u);
}

TEST_F(FetchSchedulerTest, TheRestIsNotDoneBesideReaders) {
  const auto rest = Enlist(FetchClass::kRest, 3);
  rest->left_bytes = kRequest;
  EXPECT_EQ(rest->begun(), 2u);
  scheduler_->Begin("a", FetchClass::kDemand, 1);
  while (rest->on_the_way() > 0) {
    EndOne(*rest);
  }
  Advance(milliseconds(499));
  EXPECT_EQ(rest->begun(), 2u);
  Advance(milliseconds(1));
  EXPECT_EQ(rest->begun(), 3u);
}

TEST_F(FetchSchedulerTest, HostsDoNotWaitForEachOther) {
  const auto one = Enlist(FetchClass::kPrefetch, 5, "a");
  const auto other = Enlist(FetchClass::kPrefetch, 5, "b");
  EXPECT_EQ(one->on_the_way(), 2u);
  EXPECT_EQ(other->on_the_way(), 2u);
}

TEST_F(FetchSchedulerTest, MemoryBoundsAllHostsTogether) {
  Make({.buffer_bytes = 3 * kRequest});
  const auto one = Enlist(FetchClass::kPrefetch, 5, "a");
  const auto other = Enlist(FetchClass::kPrefetch, 5, "b");
  const auto third = Enlist(FetchClass::kPrefetch, 5, "c");
  EXPECT_EQ(one->on_the_way(), 2u);
  EXPECT_EQ(other->on_the_way(), 1u);
  EXPECT_EQ(third->on_the_way(), 1u) << "nobody is starved for good";
}

TEST_F(FetchSchedulerTest, FollowsTheLink) {
  EXPECT_EQ(scheduler_->RoundTripBytes("a"), kRequest);
  const auto measure = [&](milliseconds latency, uint64_t bytes) {
    const auto flight = scheduler_->Begin("a", FetchClass::kDemand, bytes);
    clock_.Advance(latency);
    flight->OnBytes(1);
    clock_.Advance(milliseconds(100));
    flight->OnBytes(bytes);
  };
  measure(milliseconds(30), 10'000'000);
  EXPECT_EQ(scheduler_->RoundTripBytes("a"), 3'000'000u) << "30 ms of 100 MB/s";
  measure(milliseconds(2), 20'000'000);
  EXPECT_EQ(scheduler_->RoundTripBytes("a"), 400'000u) << "2 ms of 200 MB/s";
  EXPECT_EQ(scheduler_->RoundTripBytes("b"), kRequest) << "another host is another link";
  // What nobody waits for comes in larger pieces then.
  const auto feed = Enlist(FetchClass::kPrefetch, 1);
  EXPECT_EQ(feed->size_bytes(), 2'000'000u) << "10 ms of 200 MB/s";
}

TEST_F(FetchSchedulerTest, ReadersWhoWaitTogetherBringLessAlong) {
  EXPECT_EQ(scheduler_->NeighbourhoodBytes("a"), kRequest / 2);
  const auto one = scheduler_->Begin("a", FetchClass::kDemand, kRequest / 2);
  EXPECT_EQ(scheduler_->NeighbourhoodBytes("a"), kRequest / 2) << "there is room for another";
  const auto two = scheduler_->Begin("a", FetchClass::kDemand, kRequest / 4);
  EXPECT_EQ(scheduler_->NeighbourhoodBytes("a"), kRequest / 4) << "what is left of a round trip";
  const auto three = scheduler_->Begin("a", FetchClass::kDemand, 3 * kRequest);
  EXPECT_EQ(scheduler_->NeighbourhoodBytes("a"), kRequest / 8) << "never nothing";
  EXPECT_EQ(scheduler_->NeighbourhoodBytes("b"), kRequest / 2) << "another host is another link";
  clock_.Advance(milliseconds(20));
  three->OnBytes(3 * kRequest);
  EXPECT_EQ(scheduler_->NeighbourhoodBytes("a"), kRequest / 4) << "what has come is not in the way";
}

TEST_F(FetchSchedulerTest, WhatManyReadersWaitForIsNotDelayedByGuesses) {
  const auto one = scheduler_->Begin("a", FetchClass::kDemand, kRequest);
  const auto beside_one = Enlist(FetchClass::kReadahead, 2);
  EXPECT_EQ(beside_one->begun(), 2u) << "one reader's request leaves them their window";
  const auto others = scheduler_->Begin("a", FetchClass::kDemand, 2 * kRequest);
  EndOne(*beside_one);
  EndOne(*beside_one);
  const auto beside_many = Enlist(FetchClass::kReadahead, 1);
  EXPECT_EQ(beside_many->begun(), 0u);
  clock_.Advance(milliseconds(20));
  others->OnBytes(kRequest);
  executor_.RunAll();
  EXPECT_EQ(beside_many->begun(), 1u) << "in the last round trip of what is waited for";
}

TEST_F(FetchSchedulerTest, TheNextRequestIsOnItsWayBeforeTheFirstAnswerIsComplete) {
  const auto feed = Enlist(FetchClass::kReadahead, 5);
  ASSERT_EQ(feed->begun(), 2u);
  clock_.Advance(milliseconds(20));
  feed->flight(0)->OnBytes(kRequest / 2);
  executor_.RunAll();
  EXPECT_EQ(feed->begun(), 2u) << "one and a half are to come";
  feed->flight(0)->OnBytes(kRequest / 2);
  executor_.RunAll();
  EXPECT_EQ(feed->begun(), 3u) << "only one was";
  feed->flight(0)->OnBytes(kRequest);
  executor_.RunAll();
  EXPECT_EQ(feed->begun(), 3u) << "more than was asked for makes no room";
  EndOne(*feed);
  EXPECT_EQ(feed->begun(), 3u) << "its bytes had come already";
}

TEST_F(FetchSchedulerTest, WhatCameIsBufferedUntilItIsDecoded) {
  Make({.buffer_bytes = 3 * kRequest});
  const auto feed = Enlist(FetchClass::kBackground, 10);
  for (size_t number = 0; number < 3; ++number) {
    ASSERT_GT(feed->begun(), number);
    clock_.Advance(milliseconds(20));
    feed->flight(number)->OnBytes(kRequest);
    executor_.RunAll();
  }
  EXPECT_EQ(feed->begun(), 3u) << "the memory is full, although nothing is to come";
  EndOne(*feed);
  EXPECT_EQ(feed->begun(), 4u);
}

TEST_F(FetchSchedulerTest, FewDemandRequestsMayBeSentTwice) {
  EXPECT_EQ(scheduler_->LateAfter("a"), std::chrono::seconds(1));
  EXPECT_TRUE(scheduler_->TakeHedge("a"));
  EXPECT_FALSE(scheduler_->TakeHedge("a"));
  EXPECT_TRUE(scheduler_->TakeHedge("b")) << "of each host";
  const auto demand = [this](int requests) {
    for (int i = 0; i < requests; ++i) {
      scheduler_->Begin("a", FetchClass::kDemand, 1);
      scheduler_->Begin("a", FetchClass::kReadahead, 1);
    }
  };
  demand(19);
  EXPECT_FALSE(scheduler_->TakeHedge("a"));
  demand(1);
  EXPECT_TRUE(scheduler_->TakeHedge("a"));
  demand(1000);
  int in_a_row = 0;
  while (scheduler_->TakeHedge("a")) {
    ++in_a_row;
  }
  EXPECT_EQ(in_a_row, 5);
  const auto flight = scheduler_->Begin("a", FetchClass::kDemand, 1);
  clock_.Advance(milliseconds(10));
  flight->OnBytes(1);
  EXPECT_EQ(scheduler_->LateAfter("a"), milliseconds(250));
  scheduler_->Close();
  EXPECT_FALSE(scheduler_->TakeHedge("b"));
}

TEST_F(FetchSchedulerTest, CapsHoldBackAllButDemand) {
  Make({.max_bytes_per_second = 1'000'000});
  const auto prefetch = Enlist(FetchClass::kPrefetch, 5);
  EXPECT_EQ(prefetch->begun(), 1u);
  EndOne(*prefetch);
  EXPECT_EQ(prefetch->begun(), 1u);
  const auto demand = scheduler_->Begin("a", FetchClass::kDemand, 1'000'000);
  Advance(milliseconds(1999));
  EXPECT_EQ(prefetch->begun(), 1u) << "makes up for the demand read, too";
  Advance(milliseconds(1));
  EXPECT_EQ(prefetch->begun(), 2u);
}

TEST_F(FetchSchedulerTest, BackgroundHasACapOfItsOwn) {
  Make({.max_background_bytes_per_second = 1'000'000});
  const auto background = Enlist(FetchClass::kBackground, 5);
  EXPECT_EQ(background->begun(), 1u);
  const auto prefetch = Enlist(FetchClass::kPrefetch, 2);
  EXPECT_EQ(prefetch->begun(), 2u);
}

TEST_F(FetchSchedulerTest, AnImageThatKeepsItsCapLetsOthersGoFirst) {
  Make({.max_bytes_per_second_per_image = 1'000'000});
  scheduler_->Begin("a", FetchClass::kDemand, 2 * kRequest, "one");
  const auto one = Enlist(FetchClass::kPrefetch, 5, "a", "one");
  EXPECT_EQ(one->begun(), 0u) << "makes up for the demand read";
  const auto other = Enlist(FetchClass::kPrefetch, 5, "a", "other");
  EXPECT_EQ(other->begun(), 1u);
  EndOne(*other);
  EXPECT_EQ(other->begun(), 1u);
  const auto nameless = Enlist(FetchClass::kReadahead, 3, "a");
  EXPECT_EQ(nameless->begun(), 2u);
  EndOne(*nameless);
  EndOne(*nameless);
  EndOne(*nameless);
  EXPECT_EQ(nameless->begun(), 3u) << "has no cap";
  Advance(milliseconds(1000));
  EXPECT_EQ(other->begun(), 2u) << "its time comes first";
  EXPECT_EQ(one->begun(), 0u);
  EndOne(*other);
  Advance(milliseconds(1000));
  EXPECT_EQ(one->begun(), 1u);
  EXPECT_EQ(other->begun(), 3u);
}

TEST_F(FetchSchedulerTest, AnImageUnderItsCapIsNotHeldUpByLessUrgentWork) {
  Make({.max_bytes_per_second_per_image = 1'000'000});
  const auto background = Enlist(FetchClass::kBackground, 5, "a", "one");
  EXPECT_EQ(background->begun(), 1u);
  const auto readahead = Enlist(FetchClass::kReadahead, 1, "a", "other");
  EXPECT_EQ(readahead->begun(), 1u);
  EXPECT_EQ(scheduler_->RoundTripBytes("a"), kRequest);
}

TEST_F(FetchSchedulerTest, ManyImagesAreForgotten) {
  Make({.max_bytes_per_second_per_image = 1'000'000});
  for (int i = 0; i < 1000; ++i) {
    scheduler_->Begin("a", FetchClass::kDemand, 1000, std::to_string(i));
    clock_.Advance(milliseconds(1));
  }
  scheduler_->Begin("a", FetchClass::kDemand, kRequest, "last");
  const auto last = Enlist(FetchClass::kPrefetch, 1, "a", "last");
  EXPECT_EQ(last->begun(), 0u);
  const auto first = Enlist(FetchClass::kPrefetch, 1, "a", "0");
  EXPECT_EQ(first->begun(), 1u);
}

TEST_F(FetchSchedulerTest, EnlistingTwiceIsEnlistingOnce) {
  const auto feed = Enlist(FetchClass::kPrefetch, 1);
  scheduler_->Enlist("a", FetchClass::kPrefetch, feed);
  scheduler_->Enlist("a", FetchClass::kPrefetch, feed);
  executor_.RunAll();
  EXPECT_EQ(feed->begun(), 1u);
}

TEST_F(FetchSchedulerTest, RunsTasksLaterUnlessClosed) {
  int ran = 0;
  scheduler_->RunAfter(milliseconds(50), [&ran] { ++ran; });
  timer_.Advance(milliseconds(49));
  EXPECT_EQ(ran, 0);
  timer_.Advance(milliseconds(1));
  EXPECT_EQ(ran, 1);
  scheduler_->RunAfter(milliseconds(50), [&ran] { ++ran; });
  scheduler_->Close();
  timer_.Advance(milliseconds(50));
  EXPECT_EQ(ran, 1);
}

TEST_F(FetchSchedulerTest, AFeedThatHasGoneIsForgotten) {
  auto feed = std::make_shared<FakeFeed>(*scheduler_, "a", 5);
  scheduler_->Enlist("a", FetchClass::kPrefetch, feed);
  feed.reset();
  const auto next = Enlist(FetchClass::kPrefetch, 1);
  EXPECT_EQ(next->begun(), 1u);
}

TEST_F(FetchSchedulerTest, BeginsNothingOnceClosed) {
  const auto feed = Enlist(FetchClass::kPrefetch, 5);
  scheduler_->Enlist("a", FetchClass::kBackground, feed);
  scheduler_->Close();
  EndOne(*feed);
  EndOne(*feed);
  Advance(std::chrono::hours(1));
  EXPECT_EQ(feed->begun(), 2u);
}

}  // namespace
}  // namespace starling::layer
