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
  EXPECT_EQ(calls, 0);
  room.NoteDiskFull();
  EXPECT_EQ(calls, 1);
}

TEST(RoomTest, RefusesWhatDoesNotFitAndTellsWhenLittleIsLeft) {
  int calls = 0;
  Room room({.max_bytes = 1000, .on_low = [&] { ++calls; }});
  EXPECT_TRUE(room.Take(950).ok());
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(room.Take(51).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(room.held_bytes(), 950U) << "what was refused does not count";
  EXPECT_TRUE(room.Take(50).ok());
  EXPECT_EQ(calls, 2);
  room.Give(600);
  EXPECT_TRUE(room.Take(550).ok());
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

}  // namespace
}  // namespace starling::store
