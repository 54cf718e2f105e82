#include "store/room.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace starling::store {
namespace {

TEST(RoomTest, WithoutACapEverythingFits) {
  int calls = 0;
  Room room({.on_low = [&] { ++calls; }});
  EXPECT_TRUE(room.Take(UINT64_MAX / 4).ok());
  EXPECT_TRUE(room.Take(UINT64_MAX / 4).ok());
  room.Tell();
  EXPECT_EQ(calls, 0);
  room.NoteDiskFull();
  room.Tell();
  room.Tell();
  EXPECT_EQ(calls, 1);
}

TEST(RoomTest, RefusesWhatDoesNotFitAndTellsWhenLittleIsLeft) {
  int calls = 0;
  Room room({.max_bytes = 1000, .on_low = [&] { ++calls; }});
  const auto take = [&](uint64_t size_bytes) {
    const StatusCode code = room.Take(size_bytes).code();
    room.Tell();
    return code;
  };
  EXPECT_EQ(take(900), StatusCode::kOk);
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(take(101), StatusCode::kResourceExhausted);
  EXPECT_EQ(calls, 1) << "or who takes much at once would never be told";
  EXPECT_EQ(room.held_bytes(), 900U) << "what was refused does not count";
  EXPECT_EQ(take(100), StatusCode::kOk);
  EXPECT_EQ(calls, 2);
  room.Give(600);
  EXPECT_EQ(take(550), StatusCode::kOk);
  EXPECT_EQ(calls, 2);
  room.Count(500);
  EXPECT_EQ(room.held_bytes(), 1450U) << "what is there is there";
  EXPECT_EQ(room.Take(1).code(), StatusCode::kResourceExhausted);
}

TEST(RoomTest, ManyTakersNeverHoldMoreThanTheCap) {
  Room room({.max_bytes = 1000, .on_low = {}});
  std::atomic<uint64_t> held = 0;
  std::atomic<bool> exceeded = false;
  std::vector<std::jthread> takers;
  for (int taker = 0; taker < 4; ++taker) {
    takers.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        if (room.Take(300).ok()) {
          exceeded = held.fetch_add(300) + 300 > 1000 || exceeded;
          held.fetch_sub(300);
          room.Give(300);
        }
      }
    });
  }
  takers.clear();
  EXPECT_FALSE(exceeded);
  EXPECT_EQ(room.held_bytes(), 0U);
}

TEST(RoomTest, TellsTwiceOfWhatIsNotSaved) {
  std::vector<Room::Unsaved> told;
  Room room({.on_unsaved = [&](Room::Unsaved unsaved) { told.push_back(unsaved); },
             .much_unsaved_bytes = 1000});
  using enum Room::Unsaved;
  room.Tell();
  EXPECT_TRUE(told.empty());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(room.Take(100).ok());
    room.Tell();
  }
  EXPECT_EQ(told, (std::vector{kSome, kMuch}));
  room.NoteSaved();
  ASSERT_TRUE(room.Take(5000).ok());
  room.Tell();
  EXPECT_EQ(told, (std::vector{kSome, kMuch, kMuch}));
}

TEST(RoomShareTest, GivesBackWhatItHas) {
  const auto room = std::make_shared<Room>(Room::Options{.max_bytes = 1000});
  {
    RoomShare one(room);
    RoomShare other(room);
    ASSERT_TRUE(one.Take(300).ok());
    ASSERT_TRUE(other.Take(500).ok());
    EXPECT_EQ(one.Take(300).code(), StatusCode::kResourceExhausted);
    EXPECT_EQ(one.bytes(), 300U);
    other.Give(100);
    EXPECT_EQ(room->held_bytes(), 700U);
    other.Set(2000);
    EXPECT_EQ(other.bytes(), 2000U);
    EXPECT_EQ(room->held_bytes(), 2300U) << "what is there is there";
  }
  EXPECT_EQ(room->held_bytes(), 0U);
}

}  // namespace
}  // namespace starling::store
