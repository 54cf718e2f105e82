#include "layer/buffer_budget.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace starling::layer {
namespace {

using std::chrono::seconds;
using RoomPtr = std::shared_ptr<BufferBudget::Room>;

constexpr uint64_t kTotal = 60;
constexpr char kLayers[32] = {};  // their addresses name layers

BufferBudget::Request Want(const std::string& host, size_t layer, uint64_t size_bytes,
                           seconds since = {}) {
  return {.host = host,
          .layer = &kLayers[layer],
          .size_bytes = size_bytes,
          .since = BufferBudget::TimePoint(since)};
}

class BufferBudgetTest : public testing::Test {
 protected:
  void TearDown() override {
    for (const char& layer : kLayers) {
      budget_->Forget(&layer);
    }
  }
  /// True when there is room at once.
  bool Take(const BufferBudget::Request& request) {
    const auto number = asked_++;
    RoomPtr room = budget_->Take(request, [this, number](const StatusOr<RoomPtr>& later) {
      if (later.ok()) {
        rooms_.push_back(*later);
      }
      answered_.emplace_back(number, later.status());
    });
    const bool has_room = room != nullptr;
    if (has_room) {
      rooms_.push_back(std::move(room));
    }
    return has_room;
  }
  size_t TakeAll(const std::string& host, size_t layer, uint64_t size_bytes) {
    size_t count = 0;
    while (Take(Want(host, layer, size_bytes))) {
      ++count;
    }
    return count;
  }
  void ReturnFirst() {
    const RoomPtr first = std::move(rooms_.front());
    rooms_.erase(rooms_.begin());
  }
  std::vector<size_t> answered() const {
    std::vector<size_t> numbers;
    for (const auto& [number, status] : answered_) {
      numbers.push_back(number);
    }
    return numbers;
  }

  std::shared_ptr<BufferBudget> budget_ = BufferBudget::Make(kTotal);
  std::vector<RoomPtr> rooms_;
  std::vector<std::pair<size_t, Status>> answered_;
  size_t asked_ = 0;
};

TEST_F(BufferBudgetTest, OneLayerLeavesRoomForOthersOfItsHostAndBothForOtherHosts) {
  EXPECT_EQ(TakeAll("a", 0, 1), kTotal / 3);
  EXPECT_GT(TakeAll("a", 1, 1), 0U);
  EXPECT_GT(TakeAll("a", 2, 1), 0U);
  EXPECT_LE(budget_->held_bytes(), kTotal / 2) << "of one host";
  const uint64_t before = budget_->held_bytes();
  EXPECT_GT(TakeAll("b", 3, 1), 5U);
  EXPECT_GT(budget_->held_bytes(), before);
  EXPECT_LE(budget_->held_bytes(), kTotal);
}

TEST_F(BufferBudgetTest, HoldsItsTotalAndOneRequestMoreAtMost) {
  constexpr uint64_t kSize = 7;
  for (size_t layer = 0; layer < std::size(kLayers); ++layer) {
    TakeAll("a", layer, kSize);
  }
  EXPECT_GE(budget_->held_bytes(), kTotal / 2);
  EXPECT_LT(budget_->held_bytes(), kTotal + kSize);
  EXPECT_EQ(budget_->waiting(), std::size(kLayers));
}

TEST_F(BufferBudgetTest, WhatIsLargerThanAllOfItGoesAlone) {
  EXPECT_TRUE(Take(Want("a", 0, 10 * kTotal)));
  EXPECT_FALSE(Take(Want("a", 1, 10 * kTotal)));
  EXPECT_FALSE(Take(Want("a", 2, 1)));
  EXPECT_TRUE(Take(Want("b", 3, 1))) << "a host without anything on the way always goes on";
  EXPECT_FALSE(Take(Want("b", 3, 1)));
  ReturnFirst();
  EXPECT_EQ(answered(), (std::vector<size_t>{1})) << "then its memory is that of the next";
}

TEST_F(BufferBudgetTest, TheOldestGoesFirst) {
  EXPECT_TRUE(Take(Want("a", 0, kTotal)));
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(Take(Want("a", 0, kTotal)));
  }
  for (int i = 0; i < 4; ++i) {
    ReturnFirst();
  }
  EXPECT_EQ(answered(), (std::vector<size_t>{1, 2, 3}));
  EXPECT_EQ(budget_->held_bytes(), 0U);
}

TEST_F(BufferBudgetTest, TheOldestOfAllLayersGoesFirst) {
  EXPECT_TRUE(Take(Want("a", 0, kTotal)));
  for (const size_t layer : {2, 1, 2, 3, 1}) {
    EXPECT_FALSE(Take(Want("a", layer, kTotal)));
  }
  EXPECT_EQ(budget_->waiting(), 5U);
  for (int i = 0; i < 5; ++i) {
    ReturnFirst();
  }
  EXPECT_EQ(answered(), (std::vector<size_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(budget_->waiting(), 0U);
}

TEST_F(BufferBudgetTest, RoomThatIsDroppedAtOnceServesTheNext) {
  RoomPtr first = budget_->Take(Want("a", 0, kTotal), nullptr);
  constexpr int kWaiting = 1000;
  int answered = 0;
  int nested = 0;
  for (int i = 0; i < kWaiting; ++i) {
    EXPECT_EQ(budget_->Take(Want("a", 0, kTotal),
                            [&](StatusOr<RoomPtr> room) {
                              EXPECT_EQ(nested++, 0) << "would overflow the stack";
                              room = MakeError(StatusCode::kCancelled, "dropped");
                              --nested;
                              ++answered;
                            }),
              nullptr);
  }
  first.reset();
  EXPECT_EQ(answered, kWaiting);
  EXPECT_EQ(budget_->held_bytes(), 0U);
}

TEST_F(BufferBudgetTest, WhoWaitedAsLongAsOneThatFailedIsGivenUpToo) {
  struct Case {
    const char* name;
    BufferBudget::Request waiting;
    const void* layer;  // given up, or any
    bool is_given_up;
  };
  const Case cases[] = {
      {"as long", Want("a", 0, 1, seconds(5)), nullptr, true},
      {"longer", Want("a", 0, 1, seconds(1)), nullptr, true},
      {"not so long", Want("a", 0, 1, seconds(6)), nullptr, false},
      {"another layer of the host", Want("a", 1, 1, seconds(5)), nullptr, true},
      {"the layer", Want("a", 0, 1, seconds(5)), &kLayers[0], true},
      {"another layer", Want("a", 1, 1, seconds(5)), &kLayers[0], false},
      {"another host", Want("b", 0, 1, seconds(5)), nullptr, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    budget_ = BufferBudget::Make(0);
    const RoomPtr a = budget_->Take(Want("a", 0, 1), nullptr);
    const RoomPtr b = budget_->Take(Want("b", 0, 1), nullptr);
    answered_.clear();
    ASSERT_FALSE(Take(c.waiting));
    budget_->GiveUp("a", c.layer, BufferBudget::TimePoint(seconds(5)),
                    MakeError(StatusCode::kDeadlineExceeded, "away"));
    EXPECT_EQ(budget_->waiting(), c.is_given_up ? 0U : 1U);
    ASSERT_EQ(answered_.size(), c.is_given_up ? 1U : 0U);
    if (c.is_given_up) {
      EXPECT_EQ(answered_.front().second.code(), StatusCode::kDeadlineExceeded);
    }
    budget_->Forget(c.waiting.layer);
  }
}

TEST_F(BufferBudgetTest, WhatIsForgottenIsNeverCalled) {
  EXPECT_TRUE(Take(Want("a", 0, kTotal)));
  EXPECT_FALSE(Take(Want("a", 1, 1)));
  EXPECT_FALSE(Take(Want("a", 2, 1)));
  budget_->Forget(&kLayers[1]);
  ReturnFirst();
  EXPECT_EQ(answered(), (std::vector<size_t>{2}));
}

}  // namespace
}  // namespace starling::layer
