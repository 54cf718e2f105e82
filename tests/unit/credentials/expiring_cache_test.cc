#include "credentials/expiring_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

#include "tests/support/manual_clock.h"

namespace starling::credentials {
namespace {

using Cache = ExpiringCache<int>;
using testing_support::ManualClock;

struct Counting {
  ManualClock& clock;
  std::atomic<int> fetches = 0;
  Cache::Fetch Good() {
    return [this]() -> StatusOr<Cache::Fetched> {
      return Cache::Fetched{.value = ++fetches, .renew_at = clock.Now() + std::chrono::seconds(60)};
    };
  }
};

TEST(ExpiringCache, FetchesAgainWhenItIsTime) {
  ManualClock clock;
  Cache cache(clock);
  Counting counting{clock};
  EXPECT_EQ(*cache.Get("a", counting.Good()), 1);
  clock.Advance(std::chrono::seconds(59));
  EXPECT_EQ(*cache.Get("a", counting.Good()), 1);
  EXPECT_EQ(*cache.Get("b", counting.Good()), 2) << "another key";
  clock.Advance(std::chrono::seconds(1));
  EXPECT_EQ(*cache.Get("a", counting.Good()), 3);
}

TEST(ExpiringCache, RemembersAFailureForAWhile) {
  ManualClock clock;
  Cache cache(clock);
  int fetches = 0;
  const Cache::Fetch fails = [&]() -> StatusOr<Cache::Fetched> {
    ++fetches;
    return MakeError(StatusCode::kNotFound, "nobody there");
  };
  EXPECT_EQ(cache.Get("a", fails).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(cache.Get("a", fails).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(fetches, 1);
  clock.Advance(Cache::kFailureLife);
  (void)cache.Get("a", fails);
  EXPECT_EQ(fetches, 2);
}

TEST(ExpiringCache, ForgetsWhatIsOldEnough) {
  ManualClock clock;
  Cache cache(clock);
  Counting counting{clock};
  (void)cache.Get("a", counting.Good());
  cache.Forget("a");
  EXPECT_EQ(*cache.Get("a", counting.Good()), 1);
  clock.Advance(Cache::kLeastAge);
  cache.Forget("a");
  EXPECT_EQ(*cache.Get("a", counting.Good()), 2);
}

TEST(ExpiringCache, WhoeverMeetsSharesOneFetch) {
  ManualClock clock;
  Cache cache(clock);
  std::promise<void> gate;
  const auto opened = gate.get_future().share();
  std::atomic<int> fetches = 0;
  const Cache::Fetch slow = [&]() -> StatusOr<Cache::Fetched> {
    opened.wait();
    return Cache::Fetched{.value = ++fetches, .renew_at = clock.Now() + std::chrono::hours(1)};
  };
  std::vector<std::future<StatusOr<int>>> answers;
  for (int i = 0; i < 4; ++i) {
    answers.push_back(std::async(std::launch::async, [&] { return cache.Get("a", slow); }));
  }
  gate.set_value();
  for (auto& answer : answers) {
    EXPECT_EQ(*answer.get(), 1);
  }
  EXPECT_EQ(fetches, 1);
}

TEST(RenewalOf, LeavesTimeForRequestsUnderWay) {
  ManualClock clock;
  const auto left = [&clock](std::chrono::seconds life) {
    return std::chrono::duration_cast<std::chrono::seconds>(
        RenewalOf(clock, clock.WallTime() + life) - clock.Now());
  };
  EXPECT_EQ(left(std::chrono::seconds(30)), std::chrono::seconds(27));
  EXPECT_EQ(left(std::chrono::hours(12)), std::chrono::minutes(12 * 60 - 15));
  EXPECT_EQ(left(std::chrono::seconds(-5)), std::chrono::seconds(0));
  EXPECT_EQ(RenewalOf(clock, std::chrono::system_clock::time_point::max()) - clock.Now(),
            std::chrono::hours(24 * 366) - std::chrono::minutes(15));
}

}  // namespace
}  // namespace starling::credentials
