#include "mount/room_maker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <limits>
#include <thread>
#include <vector>

#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"

namespace starling::mount {
namespace {

/// A store whose layers can be evicted up to `evictable` bytes.
class RoomMakerTest : public testing::Test {
 protected:
  RoomMaker Make(uint64_t max_store_bytes) {
    return RoomMaker({.held_bytes = [this] { return held_; },
                      .spare_bytes = [this] { return spare_; },
                      .evict =
                          [this](uint64_t wanted_bytes) {
                            wanted_.push_back(wanted_bytes);
                            const uint64_t gone = std::min(wanted_bytes, evictable_);
                            held_ -= gone;
                            return gone;
                          },
                      .max_store_bytes = max_store_bytes,
                      .executor = executor_,
                      .timer = timer_});
  }

  uint64_t held_ = 1000;
  uint64_t spare_ = std::numeric_limits<uint64_t>::max();
  uint64_t evictable_ = std::numeric_limits<uint64_t>::max();
  std::vector<uint64_t> wanted_;
  testing_support::ManualClock clock_;
  testing_support::ManualExecutor executor_;
  testing_support::ManualTimer timer_{clock_};
};

TEST_F(RoomMakerTest, EvictsWhatIsTooMuch) {
  const struct {
    const char* name;
    uint64_t cap, held, spare, size;
    std::vector<uint64_t> wanted;
    bool has_room;
  } cases[] = {
      {"a fifth of the cap is kept free", 1000, 950, UINT64_MAX, 0, {150}, true},
      {"more where more is asked for", 1000, 950, UINT64_MAX, 300, {250}, true},
      {"nothing where there is room", 1000, 700, UINT64_MAX, 100, {}, true},
      {"all for what is larger than the cap", 1000, 950, UINT64_MAX, 2000, {950}, true},
      {"a tenth of all where the disk is full", 1000, 500, 100, 100, {50}, true},
      {"a tenth of all without a cap", 0, 500, UINT64_MAX, 100, {50}, true},
      {"nothing of nothing", 0, 0, 0, 100, {}, false},
  };
  for (const auto& [name, cap, held, spare, size, wanted, has_room] : cases) {
    RoomMaker room = Make(cap);
    wanted_.clear();
    held_ = held;
    spare_ = spare;
    EXPECT_EQ(room.Make(size), has_room) << name;
    EXPECT_EQ(wanted_, wanted) << name;
  }
}

TEST_F(RoomMakerTest, TellsWhenNothingCouldBeEvicted) {
  RoomMaker room = Make(1000);
  evictable_ = 0;
  EXPECT_FALSE(room.Make(0));
}

TEST_F(RoomMakerTest, EvictsSoonOnceAtATime) {
  RoomMaker room = Make(1000);
  room.MakeSoon();
  room.MakeSoon();
  EXPECT_TRUE(wanted_.empty()) << "not by who asks";
  executor_.RunAll();
  EXPECT_EQ(wanted_.size(), 1u);
  held_ = 1000;
  room.MakeSoon();
  executor_.RunAll();
  EXPECT_EQ(wanted_.size(), 2u);
}

TEST_F(RoomMakerTest, PausesWhenThereIsNoRoomToMake) {
  RoomMaker room = Make(1000);
  evictable_ = 0;
  room.MakeSoon();
  executor_.RunAll();
  room.MakeSoon();
  executor_.RunAll();
  EXPECT_EQ(wanted_.size(), 1u);
  timer_.Advance(RoomMaker::kPause);
  room.MakeSoon();
  executor_.RunAll();
  EXPECT_EQ(wanted_.size(), 2u);
}

TEST_F(RoomMakerTest, EvictsNothingUntilItIsAllowed) {
  RoomMaker room = Make(1000);
  room.Allow(false);
  EXPECT_FALSE(room.Make(0));
  room.MakeSoon();
  executor_.RunAll();
  EXPECT_TRUE(wanted_.empty());
  room.Allow(true);
  EXPECT_TRUE(room.Make(0));
}

TEST_F(RoomMakerTest, EvictsForOneAtATime) {
  std::latch evicting(1);
  std::latch may_end(1);
  std::atomic<int> evict_now = 0;
  RoomMaker room({.held_bytes = [] { return uint64_t{1000}; },
                  .spare_bytes = [] { return uint64_t{10000}; },
                  .evict =
                      [&](uint64_t wanted_bytes) {
                        EXPECT_EQ(++evict_now, 1);
                        if (!evicting.try_wait()) {
                          evicting.count_down();
                        }
                        may_end.wait();
                        --evict_now;
                        return wanted_bytes;
                      },
                  .max_store_bytes = 1000,
                  .executor = executor_,
                  .timer = timer_});
  std::thread first([&] { EXPECT_TRUE(room.Make(0)); });
  evicting.wait();
  std::thread second([&] { EXPECT_TRUE(room.Make(0)); });
  may_end.count_down();
  first.join();
  second.join();
}

}  // namespace
}  // namespace starling::mount
